"""RemoteSession: one session on a server, in frames: opened, asked, ended.

Keeps what the client knows of it: its number on the link, whether it needs a reset, why it has
ended. A step never runs in an environment that was not reset first. Payloads are env.py's affair,
replies and deadlines link/requests.py's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from openenv.errors import (
    NotReset,
    OpenEnvError,
    RemoteProtocolError,
    RequestCancelled,
    RequestTimeout,
    SessionExpired,
    StepTimeout,
    from_wire,
)
from openenv.protocol.frames import (
    Close,
    Closed,
    Error,
    GetState,
    Open,
    Opened,
    Partial,
    Reset,
    Result,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openenv.client.ports import RequestLink
    from openenv.protocol.frames import Reply, Request

TIMEOUT_MARGIN_S = 5.0
"How much longer than the server's own deadline a client waits for its reply."

ReplyT = TypeVar("ReplyT", bound="Reply")


class RemoteSession:
    """Opened by the first `open`; again by the next one after it has ended."""

    __slots__ = ("_ended", "_needs_reset", "_number", "label", "link", "patience_s", "token")

    def __init__(
        self, link: RequestLink, patience_s: float = 60.0, label: str | None = None
    ) -> None:
        self.link = link
        self.patience_s = patience_s
        "How long to wait for the reply to a request that has no deadline of its own."
        self.label = label
        self.token: str | None = None
        self._number: int | None = None
        self._ended: str | None = None
        self._needs_reset = True

    @property
    def is_open(self) -> bool:
        """Whether the session is open, as far as the client knows."""
        return self._number is not None

    async def open(self, wait_s: float = 0.0, token: str | None = None) -> None:
        """Open a session without an episode, or attach to the living one that `token` names.

        Raises SessionCapacityError when no slot comes free within `wait_s`.
        """
        await self.link.open()
        frame = self.open_frame(wait_s, token)
        try:
            opened = await self.ask(frame, Opened, self.patience_s + wait_s)
        except BaseException:
            self.forsake()
            raise
        self.token = opened.token

    def open_frame(self, wait_s: float, token: str | None = None) -> Open:
        """Return the request that opens the session. Call `forsake` if it gets no reply."""
        link = self.link
        number = self._number = link.next_session(self)
        self._ended, self._needs_reset = None, token is None
        return Open(link.next_id(), number, wait_s, self.label, token)

    def opened(self, reply: Reply) -> OpenEnvError | None:
        """Read the reply to the request that opens the session; return the error in it."""
        try:
            self.token = self.accept(None, reply, Opened).token
        except OpenEnvError as error:
            self.forsake()
            return error
        return None

    def forsake(self) -> None:
        """Give up opening. Should the server open the session all the same, it closes it again."""
        number, self._number = self._number, None
        if number is not None:
            self.link.forget_session(number)
            if self.link.is_open:
                self.link.push(Close(self.link.next_id(), number))

    async def close(self) -> None:
        """End the session."""
        number, self._number = self._number, None
        if number is not None and self.link.is_open:
            self.link.forget_session(number)
            close = Close(self.link.next_id(), number)
            try:
                await self.ask(close, Closed, self.patience_s)
            except SessionExpired:
                # The server has ended the session at the same moment.
                return
            except OpenEnvError:
                # If the link was lost meanwhile, the session ended with it.
                if self.link.is_open:
                    raise

    def session_closed(self, reason: str) -> None:
        """Record that the server has ended the session, or that it was lost with its link."""
        self._number = None
        self._ended = reason

    # ---- requests

    def reset_frame(
        self, seed: int | None, episode_id: str | None, options: dict[str, Any] | None
    ) -> Reset:
        """Return the request that begins an episode. Raises SessionExpired."""
        number = self._require_number()
        return Reset(self.link.next_id(), number, seed, episode_id, options or None)

    def step_frame(self, payload: Any, timeout_s: float | None, *, stream: bool = False) -> Step:
        """Return the request that applies an action. Raises NotReset, SessionExpired."""
        number = self.steppable_number()
        return Step(self.link.next_id(), number, payload, timeout_s, stream)

    def steppable_number(self) -> int:
        """Return the session's number, if it can be stepped. Raises NotReset, SessionExpired."""
        number = self._number
        if number is None or self._needs_reset:
            self._require_number()
            raise NotReset("call reset first")
        return number

    def state_frame(self) -> GetState:
        """Return the request for the state. Raises NotReset, SessionExpired."""
        return GetState(self.link.next_id(), self._require_number())

    async def ask(self, frame: Request, kind: type[ReplyT], patience_s: float) -> ReplyT:
        """Send a request and return its reply, which is of this class.

        Raises the error in the reply, or RequestTimeout. Cancelling the call gives the request up;
        the link stays usable.
        """
        try:
            reply = await self.link.request(frame, patience_s)
        except (asyncio.CancelledError, OpenEnvError) as error:
            self.request_failed(frame, error)
            raise
        return self.accept(frame, reply, kind)

    def request_failed(self, frame: Request, error: BaseException) -> None:
        """Handle what awaiting a request's reply has raised: give a cancelled request up."""
        if isinstance(error, OpenEnvError):
            self._note(error, frame)
            return
        if type(frame) in (Step, Reset):
            self.require_reset()
        self.link.give_up(frame)

    def accept(self, frame: Request | None, reply: Reply, kind: type[ReplyT]) -> ReplyT:
        """Return the reply to a request, which is of this class. Raises the error in it."""
        if isinstance(reply, Error):
            failure = from_wire(reply.code, reply.message, reply.details)
            self._note(failure, frame)
            raise failure
        if not isinstance(reply, kind):
            raise RemoteProtocolError(f"the server answered with {type(reply).__name__}")
        if type(frame) is Reset:
            self._needs_reset = False
        return reply

    async def follow(self, frame: Step) -> AsyncIterator[Result | Partial]:
        """Send a streaming step; yield its partial replies, then its reply."""
        try:
            async for reply in self.link.stream(frame, self.patience_for(frame.timeout_s)):
                if not isinstance(reply, Result | Partial):
                    raise RemoteProtocolError(f"the server answered with {type(reply).__name__}")
                yield reply
        except OpenEnvError as error:
            self._note(error, frame)
            raise

    def note_outcome(self, outcome: Reply | OpenEnvError) -> None:
        """Learn from a reply, or its error, that came another way than through `ask`."""
        if type(outcome) is Result:
            self._needs_reset = False
        elif isinstance(outcome, OpenEnvError):
            self._note(outcome)

    def require_reset(self) -> None:
        """Refuse steps until the next reset, because nobody knows whether a request still ran."""
        self._needs_reset = True

    def patience_for(self, timeout_s: float | None) -> float:
        """Return how long to wait for the reply to a request with this deadline."""
        return self.patience_s if timeout_s is None else timeout_s + TIMEOUT_MARGIN_S

    def _note(self, error: OpenEnvError, frame: Request | None = None) -> None:
        # A request for the state changes nothing in the environment, even if it timed out.
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
