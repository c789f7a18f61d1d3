"""The states of a session, what can happen to it, and what it does then: one table.

The actions are methods of Session, by name, so that the table can be read, and tested, without one.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class SessionState(Enum):
    """Where a session is in its life. One request at a time: "the call" is the running one."""

    WAITING = auto()
    "Its `open` waits for a slot."
    IDLE = auto()
    "Nothing runs."
    RUNNING = auto()
    "A call runs."
    INTERRUPTED = auto()
    "The call was told to end early; it completes when it has unwound."
    CLOSING = auto()
    "A client has asked for the close that runs."
    FINISHING = auto()
    "The server ends the session after the call, which may still complete."
    ABORTING = auto()
    "The server ends the session after the call, which was told to end early."
    DISPOSING = auto()
    "The close that the server wants runs."
    ENDED = auto()
    "The environment is closed, or was left behind."


class SessionEvent(Enum):
    """What happens to a session."""

    SUBMIT = auto()
    "A request comes."
    COMPLETE = auto()
    "The call has a reply."
    CANCEL = auto()
    "The origin of the call gives it up."
    EXPIRE = auto()
    "The deadline of the call, or of waiting for a slot, has passed."
    GRANT = auto()
    "A slot is free, and this session's."
    END = auto()
    "The session is to end: expired, its link has ended, or the server stops."


IGNORE: Final = "_ignore"

TABLE: Final[dict[SessionEvent, dict[SessionState, str]]] = {
    SessionEvent.SUBMIT: {
        SessionState.WAITING: "_enqueue",
        SessionState.IDLE: "_begin",
        SessionState.RUNNING: "_enqueue",
        SessionState.INTERRUPTED: "_enqueue",
        SessionState.CLOSING: "_enqueue",
        SessionState.FINISHING: "_refuse",
        SessionState.ABORTING: "_refuse",
        SessionState.DISPOSING: "_refuse",
        SessionState.ENDED: "_refuse",
    },
    SessionEvent.COMPLETE: {
        # A slot is granted, or refused, before anything runs that could complete.
        SessionState.WAITING: IGNORE,
        SessionState.IDLE: IGNORE,
        SessionState.RUNNING: "_deliver",
        SessionState.INTERRUPTED: "_deliver_interruption",
        SessionState.CLOSING: "_deliver_closed",
        SessionState.FINISHING: "_deliver_and_dispose",
        SessionState.ABORTING: "_deliver_interruption_and_dispose",
        SessionState.DISPOSING: "_deliver_closed",
        SessionState.ENDED: IGNORE,
    },
    SessionEvent.CANCEL: {
        SessionState.WAITING: "_refuse_slot",
        SessionState.IDLE: IGNORE,
        SessionState.RUNNING: "_cancel_call",
        # It is ending already.
        SessionState.INTERRUPTED: IGNORE,
        # Whoever has asked for a close gets it.
        SessionState.CLOSING: IGNORE,
        SessionState.FINISHING: "_cancel_last_call",
        SessionState.ABORTING: IGNORE,
        SessionState.DISPOSING: IGNORE,
        SessionState.ENDED: IGNORE,
    },
    SessionEvent.EXPIRE: {
        SessionState.WAITING: "_refuse_slot",
        SessionState.IDLE: IGNORE,
        SessionState.RUNNING: "_give_up",
        SessionState.INTERRUPTED: "_leave_behind_and_continue",
        SessionState.CLOSING: "_leave_behind_and_finish",
        SessionState.FINISHING: "_abort_or_leave_behind",
        SessionState.ABORTING: "_leave_behind_and_finish",
        SessionState.DISPOSING: "_leave_behind_and_finish",
        SessionState.ENDED: IGNORE,
    },
    SessionEvent.GRANT: {
        SessionState.WAITING: "_construct",
        SessionState.IDLE: IGNORE,
        SessionState.RUNNING: IGNORE,
        SessionState.INTERRUPTED: IGNORE,
        SessionState.CLOSING: IGNORE,
        SessionState.FINISHING: IGNORE,
        SessionState.ABORTING: IGNORE,
        SessionState.DISPOSING: IGNORE,
        SessionState.ENDED: IGNORE,
    },
    SessionEvent.END: {
        SessionState.WAITING: "_refuse_slot",
        SessionState.IDLE: "_dispose",
        SessionState.RUNNING: "_end_after_call",
        SessionState.INTERRUPTED: "_end_after_interruption",
        SessionState.CLOSING: "_hurry_close",
        # It ends already, for the first reason.
        SessionState.FINISHING: IGNORE,
        SessionState.ABORTING: IGNORE,
        SessionState.DISPOSING: IGNORE,
        SessionState.ENDED: IGNORE,
    },
}
"What a session does in each state when an event comes: the name of a method of Session."
