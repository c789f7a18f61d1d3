"""Pool: many sessions over few links.

Picks the link of each session and sends whole batches in one message. Knows nothing of payloads
(batch.py) and of a single episode, which is an EnvClient's (env.py).
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakSet

from openenv.client.batch import link_of, payloads_of, read_batch, send_steps
from openenv.client.env import EnvClient
from openenv.client.generic import GenericEnvClient
from openenv.client.link.link import ClientLink
from openenv.client.link.requests import BatchSink
from openenv.client.session import TIMEOUT_MARGIN_S
from openenv.errors import ConfigurationError, OpenEnvError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from openenv.client.link.connecting import Dial
    from openenv.client.vector.client import VectorClient
    from openenv.protocol.frames import Open

ClientT = TypeVar("ClientT", bound=EnvClient[Any, Any, Any])

SLOT_WAIT_S = 3600.0
"How long a session of a pool queues for a slot, unless told otherwise."


class Pool:
    """`async with openenv.connect(url) as pool:`.

    Then `env = await pool.session(MyEnv)`, as often as you like.
    """

    def __init__(
        self,
        url: str,
        connections: int = 2,
        *,
        connect_timeout_s: float = 10.0,
        message_timeout_s: float = 60.0,
        max_message_size_mb: float = 100.0,
        headers: Mapping[str, str] | None = None,
        dial: Dial | None = None,
    ) -> None:
        """Remember where the server is; `dial` reaches it otherwise than by a WebSocket."""
        if connections < 1:
            raise ConfigurationError(f"connections must be at least 1, not {connections}")
        self.url = url
        self.message_timeout_s = message_timeout_s
        self._client_options: dict[str, Any] = {
            "connect_timeout_s": connect_timeout_s,
            "message_timeout_s": message_timeout_s,
            "max_message_size_mb": max_message_size_mb,
            "headers": headers,
        }
        self._links = [
            ClientLink.to(
                url,
                connect_timeout_s=connect_timeout_s,
                max_message_size_mb=max_message_size_mb,
                headers=headers,
            )
            if dial is None
            else ClientLink(dial, connect_timeout_s=connect_timeout_s)
            for _ in range(connections)
        ]
        self._is_multiplexed = True
        self.is_open = False
        "Whether the pool is connected: between entering and leaving it."
        self._private_links: WeakSet[Any] = WeakSet()
        """The links of one client each, to a legacy server.

        The event loop keeps open ones alive; a closed one is collected with its client."""

    async def __aenter__(self) -> Self:
        """Connect. Raises ConnectError."""
        first, *others = self._links
        try:
            await first.open()
            self._is_multiplexed = first.is_multiplexed
            if self._is_multiplexed:
                await asyncio.gather(*(link.open() for link in others))
            else:
                # The socket of a legacy server is a session, and takes a slot.
                await first.aclose()
        except BaseException:
            await self.__aexit__()
            raise
        self.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the links, and with them every session that is still open."""
        self.is_open = False
        # The stack closes every link, even if closing one of them fails or is cancelled.
        async with AsyncExitStack() as stack:
            for link in [*self._links, *self._private_links]:
                stack.push_async_callback(link.aclose)

    async def session(
        self,
        client_cls: type[ClientT] | None = None,
        *,
        wait_s: float = SLOT_WAIT_S,
        label: str | None = None,
    ) -> ClientT:
        """Open a session, waiting for a slot; return its client, a generic one without a class."""
        client = self._client(client_cls, wait_s, label)
        # This also connects the link again if it was lost for good.
        await client._session.open(wait_s)
        return client

    async def sessions(
        self,
        count: int,
        client_cls: type[ClientT] | None = None,
        *,
        wait_s: float = SLOT_WAIT_S,
        label: str | None = None,
    ) -> list[ClientT]:
        """Open many sessions at once, like `session`; one message per connection asks for them.

        All or none: if one cannot be opened, its error is raised and the others are closed.
        """
        if not self._is_multiplexed:
            opening = [self.session(client_cls, wait_s=wait_s, label=label) for _ in range(count)]
            outcomes: list[Any] = await asyncio.gather(*opening, return_exceptions=True)
            clients = [client for client in outcomes if not isinstance(client, BaseException)]
        else:
            for link in self._links:
                await link.open()
            clients, frames = [], []
            for _ in range(count):
                # Together, because the least used link is the one with the fewest sessions.
                clients.append(self._client(client_cls, wait_s, label))
                frames.append(clients[-1]._session.open_frame(wait_s))
            outcomes = await self._open_many(clients, frames, wait_s)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                await asyncio.gather(*(client.close() for client in clients))
                raise outcome
        return clients

    async def _open_many(
        self, clients: Sequence[EnvClient[Any, Any, Any]], frames: Sequence[Open], wait_s: float
    ) -> list[OpenEnvError | None]:
        """Send the requests that open the clients' sessions; return the error of each, or None."""
        sessions = [client._session for client in clients]

        async def ask(link: ClientLink, indices: Sequence[int]) -> list[Any]:
            replies = await link.request_many(
                [frames[i] for i in indices], self.message_timeout_s + wait_s
            )
            return [sessions[i].opened(reply) for i, reply in zip(indices, replies, strict=True)]

        try:
            return await self._ask_many(clients, ask, return_exceptions=True)
        except BaseException:
            for session in sessions:
                session.forsake()
            raise

    def _client(
        self, client_cls: type[ClientT] | None, wait_s: float, label: str | None
    ) -> ClientT:
        """Return a client on the least used link, or with a link of its own to a legacy server."""
        cls: Any = client_cls or GenericEnvClient
        options: dict[str, Any] = {"wait_s": wait_s, "label": label, **self._client_options}
        if self._is_multiplexed:
            options["link"] = min(self._links, key=attrgetter("session_count"))
        client: ClientT = cls(base_url=self.url, **options)
        if not self._is_multiplexed:
            self._private_links.add(client._session.link)
        return client

    def vector(
        self,
        num_envs: int,
        client_cls: type[EnvClient[Any, Any, Any]] | None = None,
        **options: Any,
    ) -> VectorClient:
        """Return a vector of `num_envs` sessions; `async with` or its first `reset` opens them.

        `autoreset_mode` is one of Gymnasium's, NEXT_STEP by default. `action` is how the values in
        an array become actions: the name of the field that holds the value (not needed if the
        action has one field), or a function from a value to an action. `stack=False` returns
        observations as a list. Each session queues up to `wait_s` for a slot and gets `label`.
        Needs numpy.
        """
        try:
            from openenv.client.vector.client import VectorClient  # noqa: PLC0415 - imports numpy
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"a vector needs {error.name}: pip install 'openenv[tensor]'"
            ) from error
        return VectorClient(self, num_envs, client_cls or GenericEnvClient, **options)

    async def step_many(
        self,
        envs: Sequence[EnvClient[Any, Any, Any]],
        actions: Sequence[Any],
        timeout_s: float | None = None,
        *,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Step many sessions, each with its action; return the results in their order.

        One message per connection carries them all. The first error is raised when all replies are
        in, unless `return_exceptions` puts the errors in the results' places.
        """
        if len(envs) != len(actions):
            raise ConfigurationError(
                f"step_many got {len(envs)} sessions and {len(actions)} actions"
            )
        patience_s = self.message_timeout_s if timeout_s is None else timeout_s + TIMEOUT_MARGIN_S
        # Both may raise, so they come before anything is sent.
        numbers = [env._session.steppable_number() for env in envs]
        payloads = payloads_of(envs, actions)

        async def ask(link: ClientLink, indices: Sequence[int]) -> list[Any]:
            sessions, rows = [numbers[i] for i in indices], [payloads[i] for i in indices]
            batch = BatchSink(len(sessions))
            asked = send_steps(link, sessions, rows, timeout_s, patience_s, batch)
            await asked.finish(batch)
            return read_batch(batch, [envs[i] for i in indices], link.wire)

        return await self._ask_many(envs, ask, return_exceptions)

    async def reset_many(
        self,
        envs: Sequence[EnvClient[Any, Any, Any]],
        seeds: Sequence[int | None] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Begin an episode in many sessions; otherwise like `step_many`."""
        if seeds is not None and len(seeds) != len(envs):
            raise ConfigurationError(f"reset_many got {len(envs)} sessions and {len(seeds)} seeds")
        frames = [
            env._session.reset_frame(seed, None, options)
            for env, seed in zip(envs, seeds or [None] * len(envs), strict=True)
        ]

        async def ask(link: ClientLink, indices: Sequence[int]) -> list[Any]:
            replies = await link.request_many([frames[i] for i in indices], self.message_timeout_s)
            return [envs[i]._outcome(reply) for i, reply in zip(indices, replies, strict=True)]

        return await self._ask_many(envs, ask, return_exceptions)

    async def _ask_many(
        self,
        envs: Sequence[EnvClient[Any, Any, Any]],
        ask: Callable[[ClientLink, Sequence[int]], Awaitable[list[Any]]],
        return_exceptions: bool,
    ) -> list[Any]:
        """Call `ask` once for each link, with the indices of its sessions; join the results."""
        link_of_each = list(map(link_of, envs))
        links = list(dict.fromkeys(link_of_each))
        groups: list[Sequence[int]] = [range(len(envs))]
        if len(links) != 1:
            groups = [[i for i, own in enumerate(link_of_each) if own is link] for link in links]
        try:
            answers = await asyncio.gather(*map(ask, links, groups))
        except asyncio.CancelledError:
            for env in envs:
                env._session.require_reset()
            raise
        results: list[Any] = [None] * len(envs)
        for indices, outcomes in zip(groups, answers, strict=True):
            for index, outcome in zip(indices, outcomes, strict=True):
                results[index] = outcome
        if not return_exceptions:
            for result in results:
                if isinstance(result, OpenEnvError):
                    raise result
        return results


def connect(url: str, connections: int = 2, **options: Any) -> Pool:
    """Return a pool of sessions on the server at this URL, to be used as `async with`."""
    return Pool(url, connections, **options)
