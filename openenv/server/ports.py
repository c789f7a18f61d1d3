"""What the server's rooms need of each other, as Protocols, and the requests and replies they pass.

A room imports only what is below it; what it needs of a room above it comes as one of these.
host.py joins them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from openenv.protocol.frames import (
    Close,
    Closed,
    Error,
    Event,
    GetState,
    Opened,
    Partial,
    Request,
    Reset,
    Result,
    StateReply,
    Step,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from openenv.arrays import Encoding
    from openenv.environment import RunningEpisode
    from openenv.errors import OpenEnvError
    from openenv.protocol.server import ServerProtocol
    from openenv.protocol.writer import Writer

Call = Reset | Step | GetState | Close
"A request that calls a method of the environment."

Reply = Opened | Result | StateReply | Closed | Error
"What ends a request."


class Origin(Protocol):
    """Who has sent a request: how its payloads are encoded, and where the reply goes."""

    @property
    def encoding(self) -> Encoding:
        """How its payloads are encoded."""

    is_lenient: bool
    "Whether it speaks a dialect that allows step before reset and drops unknown options of reset."

    def reply(self, frame: Reply | Partial) -> None:
        """Accept a frame for the peer; called on the event loop."""

    def until_room(self) -> asyncio.Future[None] | None:
        """Return what is done when more partial observations may be sent; None if they may now."""


class Expirable(Protocol):
    """What may have a deadline."""

    def expire_deadline(self) -> None:
        """The deadline has passed."""


class RunningSession(Expirable, Protocol):
    """A session, as its runner knows it."""

    needs_reset: bool
    "Whether the episode is lost, or none has begun."

    @property
    def token(self) -> str:
        """The name of the session on every transport."""

    def complete(self, runner: object, request: Request, origin: Origin, reply: Reply) -> None:
        """Take the reply to the running request; called on the event loop."""

    def emit(self, origin: Origin, partial: Partial) -> None:
        """Pass on an intermediate observation of the running step; called on the event loop."""


class Holder(Origin, Protocol):
    """A link, as the session knows it that it has open."""

    @property
    def is_live(self) -> bool:
        """Whether a socket is attached."""

    def session_ended(self, session: Any, reason: str) -> None:
        """Forget the session, and tell the client unless it has closed the session itself."""

    def session_taken_over(self, session: Any) -> None:
        """Forget the session: another client has opened it by its token."""


class SpectatorOutbox(Protocol):
    """The writing half of a spectator's link."""

    writer: Writer

    @property
    def has_room(self) -> bool:
        """Whether the client reads as fast as frames are sent."""

    def send_now(self, frame: Event) -> None:
        """Send a frame before this call returns, if no task writes to the socket."""


class SpectatorLink(Protocol):
    """The link of a client that watches sessions."""

    protocol: ServerProtocol
    "Only native links watch."

    @property
    def outbox(self) -> SpectatorOutbox:
        """The writing half."""

    @property
    def is_live(self) -> bool:
        """Whether a socket is attached."""

    def reply(self, frame: Event) -> None:
        """Put a frame into the next message."""


class RegisteredLink(Protocol):
    """A native link, as the registry knows it."""

    token: str

    @property
    def has_unsent(self) -> bool:
        """Whether replies are on their way to an attached socket."""

    def is_expired(self, now_s: float) -> bool:
        """Whether the client has stayed away for longer than its grace."""

    def end(self, reason: str = ...) -> None:
        """End the link and its sessions."""


class Deadlines(Protocol):
    """Deadlines that one sweep looks at; they pass up to its period late."""

    pending: dict[Expirable, float]
    "When each deadline passes, by the event loop's clock."

    now_s: float
    "The event loop's clock at the last sweep: good enough for idle times, and free."

    def set(self, target: Expirable, timeout_s: float) -> None:
        """Call `expire_deadline` after this long, unless the deadline is cleared or set anew."""

    def bring_forward(self, target: Expirable, timeout_s: float) -> None:
        """Set a deadline, unless an earlier one is set."""

    def clear(self, target: Expirable) -> None:
        """Forget a deadline, if there is one."""

    def pop(self, target: Expirable) -> float | None:
        """Forget a deadline; return how much time was left."""


class SlotHolder(Expirable, Protocol):
    """A session, as the slots know it."""

    has_slot: bool

    def grant_slot(self) -> None:
        """A slot has come free, and is this session's."""


class Slots(Protocol):
    """How many sessions may have an environment at once, and which session is next."""

    def reserve(self, session: SlotHolder) -> bool:
        """Give a session a slot, if one is free and no other session waits for it."""

    def wait(self, session: SlotHolder, wait_s: float) -> None:
        """Queue for a slot; the session's `grant_slot` is called, or its deadline passes."""

    def release(self, session: Any) -> None:
        """Take back the slot, or the place in the queue, of a session that has ended."""

    def capacity_error(self) -> OpenEnvError:
        """Return what a client is told that gets no slot."""


class Spawn(Protocol):
    """Runs coroutines in the task group that everything of the sessions belongs to."""

    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: object
    ) -> None:
        """Start a task; also from callbacks of the event loop."""


class WatchedSession(Protocol):
    """A session, as spectators see it."""

    token: str
    label: str | None
    created_at_s: float
    watched_view: Any
    "The view of it while at least one spectator looks; None otherwise."

    @property
    def episode(self) -> RunningEpisode:
        """The running episode."""

    @property
    def is_busy(self) -> bool:
        """Whether a request runs."""
