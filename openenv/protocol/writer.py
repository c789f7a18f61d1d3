"""Writer: the writing half of a link without its socket: who may write, and what comes next.

Owns the frames that have no number yet, and the state that says who may turn them into messages.
Knows no event loop, clock or socket: server/links/outbox.py and client/link/outbox.py have those.

Rules for this file: a frame is encoded only when somebody can write its message, or when the link
keeps the message for the next socket; so the order of messages is the order of their numbers.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from openenv.errors import LocalProtocolError

if TYPE_CHECKING:
    from openenv.protocol.link import Data
    from openenv.protocol.peer import Peer

FRAMES_AHEAD = 16
"How many frames may wait before a producer of partial observations must wait, too."


class WriterState(StrEnum):
    """Who may write to the link's socket. Strings, because a plain Enum hashes in Python."""

    DETACHED = "detached"
    "Nobody: there is no socket. The next one gets the frames."
    GREETING = "greeting"
    "Only the greeting of a new socket is written; frames wait for its end."
    DIRECT = "direct"
    "Any turn of the event loop, without a task."
    TASK = "task"
    "A task only: the socket made somebody wait, or cannot be written to without waiting."
    WRITING = "writing"
    "The task that writes at this moment, and perhaps waits for the socket."
    CLOSING = "closing"
    "A task only, which closes the socket when all frames are written."
    DRAINING = "draining"
    "The task that writes at this moment, and closes the socket when all frames are written."
    ENDED = "ended"
    "Nobody, for good."


_S = WriterState
DIRECT, CLOSING = _S.DIRECT, _S.CLOSING
"Bound to names because they are compared with for every message."

TRANSITIONS: dict[tuple[WriterState, str], WriterState] = {
    (_S.DETACHED, "attach"): _S.GREETING,
    (_S.DETACHED, "detach"): _S.DETACHED,
    (_S.DETACHED, "end"): _S.ENDED,
    # A newer socket takes over from one whose loss was not noticed yet.
    (_S.GREETING, "attach"): _S.GREETING,
    (_S.GREETING, "greeted"): _S.DIRECT,
    (_S.GREETING, "detach"): _S.DETACHED,
    (_S.GREETING, "end"): _S.CLOSING,
    (_S.DIRECT, "attach"): _S.GREETING,
    (_S.DIRECT, "call_task"): _S.TASK,
    (_S.DIRECT, "begin"): _S.WRITING,
    (_S.DIRECT, "finish"): _S.CLOSING,
    (_S.DIRECT, "detach"): _S.DETACHED,
    (_S.DIRECT, "end"): _S.CLOSING,
    (_S.TASK, "attach"): _S.GREETING,
    (_S.TASK, "call_task"): _S.TASK,
    (_S.TASK, "begin"): _S.WRITING,
    (_S.TASK, "finish"): _S.CLOSING,
    (_S.TASK, "detach"): _S.DETACHED,
    (_S.TASK, "end"): _S.CLOSING,
    (_S.WRITING, "attach"): _S.GREETING,
    (_S.WRITING, "written"): _S.DIRECT,
    (_S.WRITING, "finish"): _S.DRAINING,
    (_S.WRITING, "detach"): _S.DETACHED,
    (_S.WRITING, "end"): _S.DRAINING,
    (_S.CLOSING, "greeted"): _S.CLOSING,
    (_S.CLOSING, "call_task"): _S.CLOSING,
    (_S.CLOSING, "begin"): _S.DRAINING,
    (_S.CLOSING, "finish"): _S.CLOSING,
    (_S.CLOSING, "detach"): _S.ENDED,
    (_S.CLOSING, "end"): _S.CLOSING,
    (_S.DRAINING, "written"): _S.CLOSING,
    (_S.DRAINING, "finish"): _S.DRAINING,
    (_S.DRAINING, "detach"): _S.ENDED,
    (_S.DRAINING, "end"): _S.DRAINING,
    (_S.ENDED, "detach"): _S.ENDED,
    (_S.ENDED, "end"): _S.ENDED,
}
"""(state, event) -> state. On a channel that needs a task for every write, DIRECT becomes TASK.

`call_task` and `begin` are questions: without an entry the answer is no. Every other event without
an entry is a LocalProtocolError."""

_WITHOUT_SOCKET = (_S.DETACHED, _S.ENDED)
_AT_WORK = (_S.WRITING, _S.DRAINING)


class FrameEncoder(Protocol):
    """What a writer needs of its link's protocol."""

    def send_first(self, frames: list[Any]) -> list[Data]:
        """Remove the first frames from the list; return the messages that carry them."""

    def acknowledgement(self) -> Data | None:
        """Return a message that only acknowledges, if one is owed."""


class Writer:
    """One per link, over all its sockets. Its shell has the sockets, and tells what happens."""

    __slots__ = (
        "_bounded",
        "_is_direct",
        "_link",
        "ack_due",
        "flush_pending",
        "frames",
        "lingers",
        "protocol",
        "state",
    )

    def __init__(self, protocol: FrameEncoder | None = None, bounded: Peer | None = None) -> None:
        self.protocol = protocol
        "Set before the first `attach`. The client's changes when the server begins a new link."
        self._bounded = bounded
        "The same protocol, if its link may keep only `buffer_bytes` for its peer."
        self._link = None if bounded is None else bounded.link
        self.frames: list[Any] = []
        "Frames that have no number yet. Add one, then `schedule` unless `flush_pending`."
        self.flush_pending = False
        "Whether a flush is under way or certain to come, so that nobody need schedule one."
        self.state = WriterState.DETACHED
        self.ack_due = False
        "Whether to send a message that only acknowledges, should no frame be there to carry it."
        self.lingers = False
        "Whether a closing socket is to stay open for a while although all is written."
        self._is_direct = False

    # ---- the socket's life

    def attach(self, *, is_direct: bool) -> None:
        """A new socket is there, whose greeting is written first."""
        self._move("attach")
        self._is_direct = is_direct
        self.flush_pending = self.ack_due = False

    def greeted(self) -> None:
        """The greeting is written, or this socket needs none: frames follow."""
        self._move("greeted")

    def detach(self) -> None:
        """The socket is lost. Frames are kept for the next one."""
        self._move("detach")
        self.flush_pending = self.ack_due = False

    def finish(self, *, lingers: bool) -> None:
        """Close the socket when all frames are written, and when it no longer lingers."""
        self._move("finish")
        self.lingers = lingers

    def end(self) -> None:
        """The link has ended: drop the frames that wait, and all that are still added."""
        self._move("end")
        self.lingers = False
        self.frames = deque(maxlen=0)  # type: ignore[assignment]  # a list that stays empty

    # ---- who writes

    def schedule(self) -> bool:
        """Say that frames wait. Return whether the caller must flush at the end of this turn.

        While there is no socket, a bounded link numbers the frames and keeps their messages.
        """
        if self.state not in _WITHOUT_SOCKET:
            self.flush_pending = True
            return True
        if self._bounded is not None:
            while self.next_messages():
                pass
        return False

    def call_task(self) -> bool:
        """Leave writing to the task. Return whether the caller must wake it.

        Not while another task writes, which goes on until nothing waits; nor during a greeting.
        """
        state = TRANSITIONS.get((self.state, "call_task"))
        if state is None:
            return False
        self.state = state
        self.flush_pending = True
        return True

    def begin(self) -> bool:
        """Let a task write until `next_messages` is empty. Return whether it may."""
        state = TRANSITIONS.get((self.state, "begin"))
        if state is None:
            return False
        self.state = state
        self.flush_pending = True
        return True

    def written(self) -> None:
        """The task that has begun to write is done, or has failed."""
        self._move("written")
        self.flush_pending = False

    @property
    def is_writing(self) -> bool:
        """Whether a task is writing."""
        return self.state in _AT_WORK

    # ---- frames and messages

    def next_messages(self) -> list[Data]:
        """Return a message of the first frames, or one that only acknowledges, or nothing.

        One message, unless some of its frames cannot be sent: the caller can look in between
        whether the socket takes more. A link that keeps as much as it may is given no more.
        """
        frames, link, protocol = self.frames, self._link, self.protocol
        assert protocol is not None
        while frames and (link is None or link.kept_bytes <= link.buffer_bytes):
            if messages := protocol.send_first(frames):
                self.ack_due = False
                return messages
        if self.ack_due:
            self.ack_due = False
            message = protocol.acknowledgement()
            if message is not None:
                return [message]
        return []

    @property
    def has_unsent(self) -> bool:
        """Whether frames wait for an attached socket, or are being written to it."""
        return self.state not in _WITHOUT_SOCKET and (bool(self.frames) or self.is_writing)

    @property
    def has_room(self) -> bool:
        """Whether partial observations may be added."""
        link = self._link
        if link is not None and self.state is WriterState.DETACHED:
            # The other half is for replies: too many of them end the link.
            return link.kept_bytes * 2 <= link.buffer_bytes
        return len(self.frames) < FRAMES_AHEAD

    @property
    def is_overflowing(self) -> bool:
        """Whether the link keeps as much as it may, and as much again waits for a number."""
        peer, link = self._bounded, self._link
        if peer is None or link is None or not link.is_full:
            return False
        return len(self.frames) * peer.mean_frame_bytes > link.buffer_bytes

    # ---- states

    def _move(self, event: str) -> None:
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            raise LocalProtocolError(f"cannot {event} a writer that is {self.state}")
        self.state = WriterState.TASK if state is DIRECT and not self._is_direct else state
