"""EnvClient: episodes of a remote environment, typed by the client's own type parameters.

Encodes actions and decodes replies. Knows nothing of sockets (link/), sessions' frames (session.py)
or how a server is started (launch.py). pool.py makes many clients over few links.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, get_args, get_origin

from openenv.address import http_url, unix_path
from openenv.client.blocking.sync import SyncEnvClient
from openenv.client.launch import Launching
from openenv.client.link.link import ClientLink
from openenv.client.session import RemoteSession
from openenv.codec import Codec, codec_for, decode_any
from openenv.errors import ConfigurationError, OpenEnvError
from openenv.models import ActT, ObsT, StateT, StepResult
from openenv.protocol.frames import Result, StateReply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from openenv.client.ports import RequestLink
    from openenv.protocol.frames import Partial, Reply

_MODES = ("simulation", "production")


class EnvClient(Launching[ActT, ObsT, StateT], Generic[ActT, ObsT, StateT]):
    """A client for one environment, one episode at a time.

    Subclass it as `EnvClient[MyAction, MyObservation, MyState]`, with an empty body.
    `async with MyEnv(url) as env:` connects; the first `reset` opens the session. Calls raise the
    errors of `openenv.errors`. A lost socket is replaced behind the scenes; when its session is
    lost for good, `step` and `state` raise until the next `reset`, which opens a new one.

    Hooks, for payloads that the type parameters cannot describe: `_step_payload(action) -> dict`,
    `_parse_result(payload) -> StepResult`, `_parse_state(payload)`, `_serialize_action`,
    `_parse_observation(data)`.
    """

    _action_codec: ClassVar[Codec] = codec_for(None)
    _observation_codec: ClassVar[Codec] = codec_for(None)
    _state_codec: ClassVar[Codec] = codec_for(None)
    _encodes_by_hook: ClassVar[bool] = False
    _parses_by_hook: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Read the payload classes from the type parameters, and see which hooks are defined."""
        super().__init_subclass__(**keywords)
        for base in cls.__dict__.get("__orig_bases__", ()):
            if isinstance(get_origin(base), type) and issubclass(get_origin(base), EnvClient):
                named = [
                    argument if isinstance(argument, type) else None for argument in get_args(base)
                ]
                action, observation, state = (*named, None, None, None)[:3]
                cls._action_codec = codec_for(action)
                cls._observation_codec = codec_for(observation)
                cls._state_codec = codec_for(state)
        cls._encodes_by_hook = hasattr(cls, "_step_payload") or hasattr(cls, "_serialize_action")
        cls._parses_by_hook = hasattr(cls, "_parse_result") or hasattr(cls, "_parse_observation")

    def __init__(
        self,
        base_url: str | None = None,
        connect_timeout_s: float = 10.0,
        message_timeout_s: float = 60.0,
        max_message_size_mb: float = 100.0,
        provider: Any = None,
        mode: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        wait_s: float = 0.0,
        label: str | None = None,
        link: RequestLink | None = None,
    ) -> None:
        """Remember where the server is.

        Nothing is connected yet. `wait_s` is how long to queue for a session slot. `link` is used
        instead of a link of the client's own, and stays open when the client closes. `mode` is
        checked and changes nothing: existing clients pass it.
        """
        if base_url is None and provider is None:
            raise ConfigurationError("a client needs the base_url of its server")
        if mode is not None and mode.lower() not in _MODES:
            raise ConfigurationError(f"mode must be 'simulation' or 'production', not {mode!r}")
        self._base_url = base_url or ""
        self._provider = provider
        self._wait_s = wait_s
        self._owns_link = link is None
        link = link or self._new_link(connect_timeout_s, max_message_size_mb, headers)
        self._session = RemoteSession(link, message_timeout_s, label)

    def _new_link(
        self,
        connect_timeout_s: float,
        max_message_size_mb: float,
        headers: Mapping[str, str] | None,
    ) -> RequestLink:
        """Return the client's own link, which is not connected yet."""
        return ClientLink.to(
            self._base_url,
            connect_timeout_s=connect_timeout_s,
            max_message_size_mb=max_message_size_mb,
            headers=headers,
            exit_reason=getattr(self._provider, "how_it_ended", None),
        )

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return a client of the server at this URL."""
        return cls(base_url=url, **options)

    @property
    def base_url(self) -> str:
        """The server's URL, as http(s) unless it is a Unix domain socket's."""
        return self._base_url if unix_path(self._base_url) else http_url(self._base_url)

    @property
    def session_token(self) -> str | None:
        """The session's name on every transport. None before it is open."""
        return self._session.token

    # ---- episodes

    async def connect(self) -> Self:
        """Connect to the server; `reset` does it too. Raises ConnectError."""
        await self._session.link.open()
        return self

    async def attach(self, token: str) -> Self:
        """Go on with a living session, wherever it was opened, by its `session_token`.

        Closing this client closes that session. Raises SessionNotFoundError.
        """
        await self._session.close()
        await self._session.open(token=token)
        return self

    async def reset(
        self, seed: int | None = None, episode_id: str | None = None, **options: Any
    ) -> StepResult[ObsT]:
        """Begin an episode and return its first observation; opens the session if there is none."""
        session = self._session
        if not session.is_open:
            await session.open(self._wait_s)
        frame = session.reset_frame(seed, episode_id, options)
        return self._result(await session.ask(frame, Result, session.patience_s))

    async def step(self, action: ActT, timeout_s: float | None = None) -> StepResult[ObsT]:
        """Apply an action and return what is observed.

        The environment gets at most `timeout_s` for it. Raises NotReset before the first reset.
        """
        session = self._session
        frame = session.step_frame(self._payload(action), timeout_s)
        # The body of `session.ask`, which would be one more coroutine for each step.
        try:
            reply = await session.link.request(frame, session.patience_for(timeout_s))
        except (asyncio.CancelledError, OpenEnvError) as error:
            session.request_failed(frame, error)
            raise
        if type(reply) is not Result:
            reply = session.accept(frame, reply, Result)
        return self._result(reply)

    async def stream(
        self, action: ActT, timeout_s: float | None = None
    ) -> AsyncIterator[StepResult[ObsT]]:
        """Apply an action; yield its partial results as they come, the step's own last.

        Results that have arrived and are not consumed yet stay in memory, without a limit.
        """
        frame = self._session.step_frame(self._payload(action), timeout_s, stream=True)
        async for reply in self._session.follow(frame):
            yield self._result(reply)

    async def _ws_step(self, action: ActT) -> AsyncIterator[ObsT]:
        async for result in self.stream(action):
            yield result.observation

    async def state(self) -> StateT:
        """Return the episode's state."""
        session = self._session
        frame = session.state_frame()
        return self._state(await session.ask(frame, StateReply, session.patience_s))

    async def close(self) -> None:
        """Close the session, the client's own link, and what the provider started."""
        try:
            await self._session.close()
        finally:
            if self._owns_link:
                try:
                    await self._session.link.aclose()
                finally:
                    await self._stop_provider()

    async def disconnect(self) -> None:
        """Close the session and the client's own link, but nothing that a provider started."""
        provider, self._provider = self._provider, None
        try:
            await self.close()
        finally:
            self._provider = provider

    async def __aenter__(self) -> Self:
        """Connect."""
        return await self.connect()

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    def sync(self) -> SyncEnvClient[ActT, ObsT, StateT]:
        """Return the blocking form of this client, for code without an event loop."""
        return SyncEnvClient(self)

    def _outcome(self, reply: Reply) -> StepResult[ObsT] | OpenEnvError:
        """Return the result in a reply to `step_many` or `reset_many`; an error as a value."""
        try:
            if type(reply) is not Result:
                reply = self._session.accept(None, reply, Result)
            self._session.note_outcome(reply)
            return self._result(reply)
        except OpenEnvError as error:
            return error

    # ---- payloads

    def _payload(self, action: Any) -> Any:
        if self._encodes_by_hook:
            hook = "_step_payload" if hasattr(self, "_step_payload") else "_serialize_action"
            return getattr(self, hook)(action)
        return action.model_dump() if hasattr(action, "model_dump") else action

    def _result(self, reply: Result | Partial) -> StepResult[ObsT]:
        if self._parses_by_hook:
            return self._result_by_hook(reply)
        observation = self._observation_codec.restore(
            reply.observation, self._session.link.encoding, reply
        )
        return StepResult(
            observation, reply.reward, reply.done, reply.truncated, reply.metadata or {}
        )

    def _result_by_hook(self, reply: Result | Partial) -> StepResult[ObsT]:
        data = decode_any(reply.observation, self._session.link.encoding)
        beside = {"reward": reply.reward, "done": reply.done, "truncated": reply.truncated}
        metadata = reply.metadata or {}
        if hasattr(self, "_parse_result"):
            payload = {"observation": data, **beside, "metadata": metadata}
            return self._parse_result(payload)  # type: ignore[no-any-return]
        data = {**data, **self._observation_codec.declared_lifted(reply)}
        observation = self._parse_observation(data)  # type: ignore[attr-defined]
        return StepResult(observation, reply.reward, reply.done, reply.truncated, metadata)

    def _state(self, reply: StateReply) -> StateT:
        encoding = self._session.link.encoding
        if hasattr(self, "_parse_state"):
            return self._parse_state(decode_any(reply.state, encoding))  # type: ignore[no-any-return]
        return self._state_codec.decode(reply.state, encoding)  # type: ignore[no-any-return]
