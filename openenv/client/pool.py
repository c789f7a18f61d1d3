"""Pool: many episodes over few connections.

Picks the connection for a session and sends whole batches in one message. An episode itself is an
EnvClient (env.py).
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakSet

from openenv.client.batch import payloads_of, read_batch, send_steps
from openenv.client.env import EnvClient
from openenv.client.generic import GenericEnvClient
from openenv.client.link.link import Connection
from openenv.client.link.requests import BatchSink
from openenv.client.session import TIMEOUT_MARGIN_S
from openenv.errors import ConfigurationError, OpenEnvError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from openenv.client.link.link import Dial
    from openenv.client.vector.client import VectorClient

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
        self._connections = [
            Connection.to(
                url,
                connect_timeout_s=connect_timeout_s,
                max_message_size_mb=max_message_size_mb,
                headers=headers,
            )
            if dial is None
            else Connection(dial, connect_timeout_s=connect_timeout_s)
            for _ in range(connections)
        ]
        self._is_multiplexed = True
        self.is_open = False
        "Whether it has been entered, and not been left."
        self._private: WeakSet[Connection] = WeakSet()
        "Those of one client each. The event loop holds open ones, nobody those that were closed."

    async def __aenter__(self) -> Self:
        """Connect. Raises ConnectError."""
        first, *others = self._connections
        try:
            await first.open()
            self._is_multiplexed = first.is_multiplexed
            if self._is_multiplexed:
                await asyncio.gather(*(connection.open() for connection in others))
            else:
                # The socket of a legacy server is a session, and takes a slot.
                await first.aclose()
        except BaseException:
            await self.__aexit__()
            raise
        self.is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections, and with them every session that is still open."""
        self.is_open = False
        # What fails, or is cancelled, keeps nothing else open.
        async with AsyncExitStack() as stack:
            for connection in self._connections:
                stack.push_async_callback(connection.aclose)
            for connection in list(self._private):
                stack.push_async_callback(connection.aclose)

    async def session(
        self,
        client_cls: type[ClientT] | None = None,
        *,
        wait_s: float = SLOT_WAIT_S,
        label: str | None = None,
    ) -> ClientT:
        """Open a session, waiting for a slot; return its client, a generic one without a class."""
        client = self._client(client_cls, wait_s, label)
        if self._is_multiplexed:
            client._share(self._least_used())
        # Opens it again if it was lost for good.
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
            clients: list[Any] = [one for one in outcomes if not isinstance(one, BaseException)]
        else:
            for connection in self._connections:
                await connection.open()
            clients = [self._client(client_cls, wait_s, label) for _ in range(count)]
            outcomes = await self._open_many(clients, wait_s)
        for failed in outcomes:
            if isinstance(failed, BaseException):
                await asyncio.gather(*(client.close() for client in clients))
                raise failed
        return clients

    async def _open_many(
        self, clients: Sequence[EnvClient[Any, Any, Any]], wait_s: float
    ) -> list[Any]:
        sessions = [client._session for client in clients]
        frames = []
        for client in clients:
            client._share(self._least_used())
            frames.append(client._session.open_frame(wait_s))

        async def ask(connection: Connection, indices: Sequence[int]) -> list[Any]:
            replies = await connection.request_many(
                [frames[i] for i in indices], self.message_timeout_s + wait_s
            )
            return [sessions[i].opened(reply) for i, reply in zip(indices, replies, strict=True)]

        try:
            return await self._ask_many(clients, ask, return_exceptions=True)
        except BaseException:
            for session in sessions:
                session.forsake()
            raise

    def _least_used(self) -> Connection:
        return min(self._connections, key=lambda connection: connection.session_count)

    def _client(
        self, client_cls: type[ClientT] | None, wait_s: float, label: str | None
    ) -> ClientT:
        """Return a client with a connection of its own, for as long as it is given no other."""
        cls: Any = client_cls or GenericEnvClient
        client: ClientT = cls(base_url=self.url, wait_s=wait_s, label=label, **self._client_options)
        if not self._is_multiplexed:
            self._private.add(client._session.connection)
        return client

    def vector(
        self,
        num_envs: int,
        client_cls: type[EnvClient[Any, Any, Any]] | None = None,
        **options: Any,
    ) -> VectorClient:
        """Return a vector of that many sessions, which `async with` or its first `reset` opens.

        `autoreset_mode` is one of Gymnasium's, NEXT_STEP by default. `action` says what becomes of
        the values in an array of actions: the name of the field that they go into, unless the
        action has only one, or a function that makes an action of one. `stack=False` gives
        observations as a list. `wait_s` is how long each session queues for a slot, `label` is
        theirs. Needs numpy.
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
        # All of it before anything is sent: either may raise.
        numbers = [env._session.steppable_number() for env in envs]
        payloads = payloads_of(envs, actions)

        async def ask(connection: Connection, indices: Sequence[int]) -> list[Any]:
            sessions, rows = [numbers[i] for i in indices], [payloads[i] for i in indices]
            batch = BatchSink(len(sessions))
            asked = send_steps(connection, sessions, rows, timeout_s, patience_s, batch)
            await asked.finish(batch)
            return read_batch(batch, [envs[i] for i in indices], connection.wire)

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

        async def ask(connection: Connection, indices: Sequence[int]) -> list[Any]:
            replies = await connection.request_many(
                [frames[i] for i in indices], self.message_timeout_s
            )
            return [envs[i]._outcome(reply) for i, reply in zip(indices, replies, strict=True)]

        return await self._ask_many(envs, ask, return_exceptions)

    async def _ask_many(
        self,
        envs: Sequence[EnvClient[Any, Any, Any]],
        ask: Callable[[Connection, Sequence[int]], Awaitable[list[Any]]],
        return_exceptions: bool,
    ) -> list[Any]:
        where = [env._session.connection for env in envs]
        connections = list(dict.fromkeys(where))
        groups = [
            [index for index, connection in enumerate(where) if connection is one]
            if len(connections) > 1
            else range(len(envs))
            for one in connections
        ]
        try:
            answers = await asyncio.gather(*map(ask, connections, groups))
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
