"""RemoteSession: one session on a server, in frames: opened, asked, ended.

Keeps what the client knows of it: its number on the connection, whether it needs a reset, why it
has ended. Payloads are env.py's affair. A call never goes on in a fresh environment that nobody
has reset.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from openenv.errors import (
    NotReset,
    OpenEnvError,
    RequestCancelled,
    RequestTimeout,
    SessionExpired,
    StepTimeout,
    from_wire,
)
from openenv.protocol.frames import Close, Error, GetState, Open, Reset, Result, Step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openenv.client.link.link import Connection

TIMEOUT_MARGIN_S = 5.0
"How much longer than the server's own deadline a client waits for its reply."


class RemoteSession:
    """Opened by the first `open`; again by the next one after it has ended."""

    __slots__ = ("_ended", "_needs_reset", "_number", "connection", "label", "patience_s", "token")

    def __init__(
        self, connection: Connection, patience_s: float = 60.0, label: str | None = None
    ) -> None:
        self.connection = connection
        self.patience_s = patience_s
        "How long to wait for the reply to a request that says nothing of its own."
        self.label = label
        self.token: str | None = None
        self._number: int | None = None
        self._ended: str | None = None
        self._needs_reset = True

    @property
    def is_open(self) -> bool:
        """Whether the server holds the session, as far as is known."""
        return self._number is not None

    async def open(self, wait_s: float = 0.0, token: str | None = None) -> None:
        """Open the session, without an episode yet; or take over the living one that `token` names.

        Raises SessionCapacityError when no slot comes free within `wait_s`.
        """
        await self.connection.open()
        frame = self.open_frame(wait_s, token)
        try:
            opened = await self.ask(frame, self.patience_s + wait_s)
        except BaseException:
            self.forsake()
            raise
        self.token = opened.token

    def open_frame(self, wait_s: float, token: str | None = None) -> Open:
        """Return the request that opens the session; `forsake` it should it not be answered."""
        connection = self.connection
        number = self._number = connection.next_session(self)
        self._ended, self._needs_reset = None, token is None
        return Open(connection.next_id(), number, wait_s, self.label, token)

    def opened(self, reply: Any) -> OpenEnvError | None:
        """Take the reply to the request that opens the session; return what went wrong."""
        try:
            self.token = self.accept(None, reply).token
        except OpenEnvError as error:
            self.forsake()
            return error
        return None

    def forsake(self) -> None:
        """Opening was cancelled or refused: should the server still do it, it is not wanted."""
        number, self._number = self._number, None
        if number is not None:
            self.connection.forget_session(number)
            if self.connection.is_open:
                self.connection.push(Close(self.connection.next_id(), number))

    async def close(self) -> None:
        """End the session."""
        number, self._number = self._number, None
        if number is not None and self.connection.is_open:
            self.connection.forget_session(number)
            close = Close(self.connection.next_id(), number)
            try:
                await self.ask(close, self.patience_s)
            except SessionExpired:
                # The server has ended it in the same moment, which is just as well.
                return
            except OpenEnvError:
                # A connection that is lost meanwhile has taken the session with it.
                if self.connection.is_open:
                    raise

    def session_closed(self, reason: str) -> None:
        """Take the news that the server has ended the session, or that it is lost."""
        self._number = None
        self._ended = reason

    # ---- requests

    def reset_frame(
        self, seed: int | None, episode_id: str | None, options: dict[str, Any] | None
    ) -> Reset:
        """Return the request that begins an episode. Raises SessionExpired."""
        number = self._require_number()
        return Reset(self.connection.next_id(), number, seed, episode_id, options or None)

    def step_frame(self, payload: Any, timeout_s: float | None, *, stream: bool = False) -> Step:
        """Return the request that applies an action. Raises NotReset, SessionExpired."""
        number = self.steppable_number()
        return Step(self.connection.next_id(), number, payload, timeout_s, stream)

    def steppable_number(self) -> int:
        """Return the session's number, if it can be stepped. Raises NotReset, SessionExpired."""
        number = self._number
        if number is None or self._needs_reset:
            self._require_number()
            raise NotReset("call reset first")
        return number

    def state_frame(self) -> GetState:
        """Return the request for the state. Raises NotReset, SessionExpired."""
        return GetState(self.connection.next_id(), self._require_number())

    async def ask(self, frame: Any, patience_s: float) -> Any:
        """Send a request and return its reply. Raises what the reply says, or RequestTimeout.

        Cancelling the call gives the request up; the connection stays usable.
        """
        try:
            reply = await self.connection.request(frame, patience_s)
        except (asyncio.CancelledError, OpenEnvError) as error:
            self.request_failed(frame, error)
            raise
        return self.accept(frame, reply)

    def request_failed(self, frame: Any, error: BaseException) -> None:
        """Learn from what the await of a request's reply has raised."""
        if isinstance(error, OpenEnvError):
            self._note(error, frame)
            return
        if type(frame) in (Step, Reset):
            self.require_reset()
        self.connection.give_up(frame)

    def accept(self, frame: Any, reply: Any) -> Any:
        """Return the reply to a request. Raises what it says."""
        if type(reply) is Error:
            failure = from_wire(reply.code, reply.message, reply.details)
            self._note(failure, frame)
            raise failure
        if type(frame) is Reset:
            self._needs_reset = False
        return reply

    async def follow(self, frame: Step) -> AsyncIterator[Any]:
        """Send a streaming step; yield its partial replies, then its reply."""
        try:
            async for reply in self.connection.stream(frame, self.patience_for(frame.timeout_s)):
                yield reply
        except OpenEnvError as error:
            self._note(error, frame)
            raise

    def take_outcome(self, reply: Any) -> None:
        """Learn from a reply that came another way than through `ask`."""
        if isinstance(reply, OpenEnvError):
            self._note(reply)
        elif type(reply) is Result:
            self._needs_reset = False

    def require_reset(self) -> None:
        """Refuse steps until the next reset: whether a request still ran cannot be known."""
        self._needs_reset = True

    def patience_for(self, timeout_s: float | None) -> float:
        """Return how long to wait for the reply to a request with this deadline."""
        return self.patience_s if timeout_s is None else timeout_s + TIMEOUT_MARGIN_S

    def _note(self, error: OpenEnvError, frame: Any = None) -> None:
        # Asking for the state changes nothing, whatever became of the question.
        if type(frame) is not GetState and isinstance(
            error, RequestTimeout | StepTimeout | RequestCancelled
        ):
            self._needs_reset = True

    def _require_number(self) -> int:
        if self._number is None:
            if self._ended is not None:
                raise SessionExpired(self._ended)
            raise NotReset("call reset first")
        return self._number
