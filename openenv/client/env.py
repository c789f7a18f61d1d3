"""EnvClient: one episode at a time of a remote environment, typed by the client's own type
parameters.

Encodes actions and parses replies; how they travel is connection.py's affair. generic.py, http.py
and sync.py are its relatives, pool.py makes many over few connections.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, get_args, get_origin

import msgspec

from openenv.arrays import decode_ext
from openenv.client.connection import Connection
from openenv.client.websocket import dial, http_url
from openenv.codec import Codec, codec_for, plain
from openenv.errors import (
    ConfigurationError,
    NotReset,
    OpenEnvError,
    RequestCancelled,
    RequestTimeout,
    SessionExpired,
    StepTimeout,
    from_wire,
)
from openenv.models import ActT, ObsT, StateT, StepResult
from openenv.protocol.frames import (
    Close,
    Error,
    GetState,
    Open,
    Opened,
    Reset,
    Result,
    StateReply,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from openenv.client.sync import SyncEnvClient

_GENERIC: dict[str, Any] = {
    "msgpack": msgspec.msgpack.Decoder(ext_hook=decode_ext),
    "json": msgspec.json.Decoder(),
}

TIMEOUT_MARGIN_S = 5.0
"How much longer than the server's own deadline a client waits for its reply."


class EnvClient(Generic[ActT, ObsT, StateT]):
    """A client for one environment: subclass it as `EnvClient[MyAction, MyObservation, MyState]`,
    with an empty body.

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
    _has_result_hook: ClassVar[bool] = False

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
        cls._has_result_hook = hasattr(cls, "_parse_result") or hasattr(cls, "_parse_observation")

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
    ) -> None:
        """Remember where the server is.

        Nothing is connected yet. `wait_s` is how long to queue for a session slot.
        """
        if base_url is None and provider is None:
            raise ConfigurationError("a client needs the base_url of its server")
        if mode is not None and mode.lower() not in ("simulation", "production"):
            raise ConfigurationError(f"mode must be 'simulation' or 'production', not {mode!r}")
        self._base_url = base_url or ""
        self._provider = provider
        self.mode = (mode or "simulation").lower()
        self._message_timeout_s = message_timeout_s
        self._wait_s = wait_s
        self._label = label
        self._owns_connection = True
        max_message_bytes = int(max_message_size_mb * 1024 * 1024)

        async def dial_server() -> Any:
            return await dial(
                self._base_url,
                connect_timeout_s=connect_timeout_s,
                max_message_bytes=max_message_bytes,
                headers=headers,
            )

        self._connection = Connection(
            dial_server, connect_timeout_s=connect_timeout_s, max_message_bytes=max_message_bytes
        )
        self._number: int | None = None
        self._token: str | None = None
        self._ended: str | None = None
        self._needs_reset = False

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return a client of the server at this URL."""
        return cls(base_url=url, **options)

    @property
    def base_url(self) -> str:
        """The server's URL as http(s)."""
        return http_url(self._base_url)

    @property
    def session_token(self) -> str | None:
        """The session's name on every transport.

        The X-OpenEnv-Session of HTTP. None before it is open.
        """
        return self._token

    # ---- episodes

    async def connect(self) -> Self:
        """Connect to the server; `reset` does it too. Raises ConnectError."""
        await self._connection.open()
        return self

    async def reset(
        self, seed: int | None = None, episode_id: str | None = None, **options: Any
    ) -> StepResult[ObsT]:
        """Begin an episode and return its first observation; opens the session if there is none."""
        if self._number is None:
            await self.open_session()
        reply = await self._ask(
            self.reset_frame(seed, episode_id, options), self._message_timeout_s
        )
        self._needs_reset = False
        return self._result(reply)

    async def step(
        self, action: ActT, timeout_s: float | None = None, **_: Any
    ) -> StepResult[ObsT]:
        """Apply an action and return what is observed.

        The environment gets at most `timeout_s` for it.
        """
        return self._result(
            await self._ask(self.step_frame(action, timeout_s), self._patience_s(timeout_s))
        )

    async def stream(
        self, action: ActT, timeout_s: float | None = None
    ) -> AsyncIterator[StepResult[ObsT]]:
        """Apply an action and yield its partial results as they come.

        The last one is the step's.
        """
        frame = self.step_frame(action, timeout_s, stream=True)
        try:
            async for reply in self._connection.stream(frame, self._patience_s(timeout_s)):
                yield self._result(reply)
        except OpenEnvError as error:
            self._note(error)
            raise

    async def _ws_step(self, action: ActT) -> AsyncIterator[ObsT]:
        async for result in self.stream(action):
            yield result.observation

    async def state(self) -> StateT:
        """Return the episode's state."""
        number = self._require_number()
        reply: StateReply = await self._ask(
            GetState(self._connection.next_id(), number), self._message_timeout_s
        )
        return self._state(reply)

    async def close(self) -> None:
        """Close the session, the connection if it is this client's own, and what the provider started."""
        number, self._number = self._number, None
        try:
            if number is not None and self._connection.is_open:
                self._connection.forget_session(number)
                await self._ask(Close(self._connection.next_id(), number), self._message_timeout_s)
        finally:
            if self._owns_connection:
                await self._connection.aclose()
                await self._stop_provider()

    async def disconnect(self) -> None:
        """Close the session and the connection, but nothing that a provider started."""
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
        from openenv.client.sync import SyncEnvClient

        return SyncEnvClient(self)

    # ---- sessions

    async def open_session(self, wait_s: float | None = None) -> None:
        """Open the session, without an episode yet.

        Raises SessionCapacityError when there is no slot within `wait_s`.
        """
        connection = self._connection
        await connection.open()
        wait_s = self._wait_s if wait_s is None else wait_s
        number = self._number = connection.next_session(self)
        self._ended, self._needs_reset = None, True
        try:
            frame = Open(connection.next_id(), number, wait_s, self._label)
            opened: Opened = await connection.request(frame, self._message_timeout_s + wait_s)
        except BaseException:
            # Cancelled or refused: should the server still open it, it is not wanted.
            connection.forget_session(number)
            if connection.is_open:
                connection.push(Close(connection.next_id(), number))
            self._number = None
            raise
        self._token = opened.token

    def share(self, connection: Connection) -> None:
        """Use a connection that belongs to somebody else, before anything is opened."""
        self._connection = connection
        self._owns_connection = False

    def session_closed(self, reason: str) -> None:
        """Take the news that the server has ended the session, or that it is lost."""
        self._number = None
        self._ended = reason

    # ---- frames, for step_many and reset_many too

    def reset_frame(
        self, seed: int | None, episode_id: str | None, options: dict[str, Any]
    ) -> Reset:
        """Return the request that begins an episode. Raises SessionExpired."""
        return Reset(
            self._connection.next_id(), self._require_number(), seed, episode_id, options or None
        )

    def step_frame(
        self, action: Any, timeout_s: float | None = None, *, stream: bool = False
    ) -> Step:
        """Return the request that applies an action. Raises NotReset, SessionExpired."""
        number = self._number
        if number is None or self._needs_reset:
            number = self._require_reset()
        return Step(self._connection.next_id(), number, self._payload(action), timeout_s, stream)

    def take_outcome(self, reply: Any) -> StepResult[ObsT] | OpenEnvError:
        """Return what a reply to one of these requests says, an error included."""
        if type(reply) is Error:
            error = from_wire(reply.code, reply.message, reply.details)
            self._note(error)
            return error
        self._needs_reset = False
        try:
            return self._result(reply)
        except OpenEnvError as error:
            return error

    @property
    def connection(self) -> Connection:
        """The connection that carries the session."""
        return self._connection

    @property
    def owns_connection(self) -> bool:
        """Whether the connection is this client's own, and closed with it."""
        return self._owns_connection

    async def _ask(self, frame: Any, timeout_s: float) -> Any:
        try:
            return await self._connection.request(frame, timeout_s)
        except asyncio.CancelledError:
            self._needs_reset = True
            raise
        except OpenEnvError as error:
            self._note(error)
            raise

    def _note(self, error: OpenEnvError) -> None:
        if isinstance(error, RequestTimeout | StepTimeout | RequestCancelled):
            self._needs_reset = True

    def _patience_s(self, timeout_s: float | None) -> float:
        return self._message_timeout_s if timeout_s is None else timeout_s + TIMEOUT_MARGIN_S

    def _require_number(self) -> int:
        if self._number is None:
            if self._ended is not None:
                raise SessionExpired(self._ended)
            raise NotReset("call reset first")
        return self._number

    def _require_reset(self) -> int:
        number = self._require_number()
        raise NotReset(f"session {number} needs a reset: call reset first")

    async def _stop_provider(self) -> None:
        provider, self._provider = self._provider, None
        if provider is None:
            return
        stop = getattr(provider, "stop_container", None) or provider.stop
        await asyncio.to_thread(stop)

    # ---- payloads

    def _payload(self, action: Any) -> Any:
        if hasattr(self, "_step_payload"):
            return self._step_payload(action)
        if hasattr(self, "_serialize_action"):
            return self._serialize_action(action)
        return action.model_dump() if hasattr(action, "model_dump") else action

    def _result(self, reply: Result) -> StepResult[ObsT]:
        if self._has_result_hook:
            return self._result_by_hook(reply)
        observation = self._observation_codec.restore(
            reply.observation, self._connection.encoding, reply
        )
        return StepResult(
            observation, reply.reward, reply.done, reply.truncated, reply.metadata or {}
        )

    def _result_by_hook(self, reply: Result) -> StepResult[ObsT]:
        data = _GENERIC[self._connection.encoding].decode(reply.observation)
        if hasattr(self, "_parse_result"):
            beside = {"reward": reply.reward, "done": reply.done, "truncated": reply.truncated}
            return self._parse_result(
                {"observation": data, **beside, "metadata": reply.metadata or {}}
            )  # type: ignore[no-any-return]
        return StepResult(
            self._parse_observation(self._with_lifted(data, reply)),  # type: ignore[attr-defined]
            reply.reward,
            reply.done,
            reply.truncated,
            reply.metadata or {},
        )

    def _with_lifted(self, data: dict[str, Any], reply: Result) -> dict[str, Any]:
        return {**data, **self._observation_codec.declared_lifted(reply)}

    def _state(self, reply: StateReply) -> StateT:
        if hasattr(self, "_parse_state"):
            return self._parse_state(plain(_GENERIC[self._connection.encoding].decode(reply.state)))  # type: ignore[no-any-return]
        return self._state_codec.decode(reply.state, self._connection.encoding)  # type: ignore[no-any-return]
