"""SessionActions: what a session has, and what it does when the table of states.py says so.

Beginning a call, completing it, ending it early, ending the session. When each of these happens is
session.py's affair.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from openenv.environment import RunningEpisode
from openenv.errors import (
    NotReset,
    OpenEnvError,
    RequestCancelled,
    SessionExpired,
    StepTimeout,
    TooManyRequests,
)
from openenv.protocol.frames import Close, Closed, Error, Open, Opened, Reset, Result, Step
from openenv.protocol.server import error_frame
from openenv.server.sessions.services import NOBODY, SessionServices
from openenv.server.sessions.states import TABLE, SessionEvent, SessionState

if TYPE_CHECKING:
    from openenv.protocol.frames import Request
    from openenv.server.ports import Holder, Origin, Reply
    from openenv.server.watching.views import SessionView


class SessionActions:
    """The base of Session."""

    __slots__ = (
        "_deadlines",
        "_end_reason",
        "_interruption_error",
        "_is_advancing",
        "_queue",
        "_runner",
        "_running",
        "_services",
        "_steps_inline",
        "created_at_s",
        "episode",
        "has_slot",
        "holder",
        "idle_limit_s",
        "is_named",
        "label",
        "last_reply",
        "needs_reset",
        "state",
        "token",
        "touched_at_s",
        "view",
        "was_opened",
        "watched_view",
    )

    def __init__(self, services: SessionServices, token: str, label: str | None = None) -> None:
        self.token = token
        self.label = label
        self.state = SessionState.WAITING
        self.holder: Holder | None = None
        "The link that has the session open and is told when it ends; None if only HTTP uses it."
        self.is_named = False
        "Whether a client names it over HTTP: then it outlives the link that has opened it."
        self.idle_limit_s: float | None = None
        "How long it may be idle while no live link holds it, if not for as long as others."
        self.has_slot = False
        self.was_opened = False
        "Whether there was an environment."
        self.needs_reset = True
        self.episode = RunningEpisode()
        self.created_at_s = self.touched_at_s = services.deadlines.now_s
        self.last_reply: tuple[str, Any] | None = None
        "(request id, reply) of the last named step over HTTP, so that repeating it is harmless."
        self.view: SessionView | None = None
        "What spectators may see, if the server has any."
        self.watched_view: SessionView | None = None
        "The same while at least one looks; the short way of steps asks for this one."
        self._services = services
        self._deadlines = services.deadlines
        self._runner = services.make_runner(self)
        self._steps_inline = services.runs_inline
        self._running: tuple[Request, Origin] | None = None
        self._queue: deque[tuple[Request, Origin]] | None = None
        self._is_advancing = False
        self._interruption_error: OpenEnvError | None = None
        "What the origin of the running call is told, which was told to end early."
        self._end_reason: str | None = None
        "Why the server ends the session."

    @property
    def is_busy(self) -> bool:
        """Whether a request runs."""
        return self._running is not None

    def expire_deadline(self) -> None:
        """The running call, or the wait for a slot, has taken too long."""
        getattr(self, TABLE[SessionEvent.EXPIRE][self.state])()

    def _ignore(self, *_: object) -> None:
        """Do nothing."""

    # ---- beginning

    def _construct(self) -> None:
        assert self._running is not None
        self.state = SessionState.RUNNING
        if self._services.spectators is not None:
            self.view = self._services.spectators.add(self)
        self._runner.start(*self._running)

    def _refuse_slot(self, error: OpenEnvError | None = None) -> None:
        """Give `open` up: there is no slot, and none came free in time."""
        assert self._running is not None
        frame, origin = self._end_call(SessionState.ENDED)
        origin.reply(error_frame(frame.id, error or self._services.slots.capacity_error()))
        self._finish("no slot")

    def _begin(self, frame: Request, origin: Origin) -> None:
        if self.needs_reset and self._refuses_without_reset(frame, origin):
            return
        self._running = (frame, origin)
        self.state = SessionState.CLOSING if type(frame) is Close else SessionState.RUNNING
        limit_s = self._limit_s(frame)
        if limit_s is not None and self._runner.can_abandon:
            self._deadlines.set(self, limit_s)
        self._runner.start(frame, origin)

    def _refuses_without_reset(self, frame: Request, origin: Origin) -> bool:
        """Whether the request needs a reset first; then its origin has been told."""
        if type(frame) in (Reset, Close) or (origin.is_lenient and self._runner.has_environment):
            return False
        origin.reply(error_frame(frame.id, NotReset("call reset first")))
        return True

    def _limit_s(self, frame: Request) -> float | None:
        """Return how long a request may take: a client's timeout only shortens the server's."""
        config = self._services.config
        if type(frame) is Close:
            return config.close_timeout_s
        server_s = config.step_timeout_s
        if type(frame) is not Step or frame.timeout_s is None:
            return server_s
        return frame.timeout_s if server_s is None else min(frame.timeout_s, server_s)

    def _enqueue(self, frame: Request, origin: Origin) -> None:
        if self._queue is None:
            self._queue = deque()
        if len(self._queue) >= self._services.config.max_queued_requests:
            error = TooManyRequests("too many requests wait in this session")
            origin.reply(error_frame(frame.id, error))
            return
        self._queue.append((frame, origin))
        if type(frame) is Close:
            self._hurry()

    def _refuse(self, frame: Request, origin: Origin) -> None:
        origin.reply(_refusal(frame, SessionExpired(self._end_reason or "the session has ended")))

    # ---- completing

    def _deliver(self, frame: Request, origin: Origin, reply: Reply) -> None:
        """Give the reply of the call to its origin, and run what waits."""
        self._note(frame, origin, reply)
        # What `_end_call` does, in fewer calls: this is the way of each step that is not inline.
        self._running = self._interruption_error = None
        if self._deadlines.pending:
            self._deadlines.clear(self)
        self.touched_at_s = self._deadlines.now_s
        self.state = SessionState.IDLE
        origin.reply(reply)
        if self.state is not SessionState.IDLE:
            # The reply was one too many for a link that nobody reads, and has ended it.
            return
        if type(frame) is Open and type(reply) is Error:
            self._finish("could not be opened")
        elif self._queue:
            self._advance()

    def _deliver_interruption(self, frame: Request, origin: Origin, _: Reply) -> None:
        self._deliver(frame, origin, error_frame(frame.id, self._interruption()))

    def _deliver_closed(self, frame: Request, origin: Origin, reply: Reply) -> None:
        self._end_call(SessionState.ENDED)
        if type(reply) is Closed:
            reply.reason = self._end_reason or reply.reason
        origin.reply(reply)
        by_holder = origin is self.holder
        self._finish(self._end_reason or ("closed" if by_holder else "closed by another client"))

    def _deliver_and_dispose(self, frame: Request, origin: Origin, reply: Reply) -> None:
        self._note(frame, origin, reply)
        self._end_call(self.state)
        origin.reply(reply)
        if type(frame) is Open and type(reply) is Error:
            self._finish(self._end_reason or "could not be opened")
        else:
            self._dispose()

    def _deliver_interruption_and_dispose(self, frame: Request, origin: Origin, _: Reply) -> None:
        self._deliver_and_dispose(frame, origin, error_frame(frame.id, self._interruption()))

    def _note(self, frame: Request, origin: Origin, reply: Reply) -> None:
        """Note what a reply says of the session, for the session and for spectators."""
        if type(reply) is Result:
            if type(frame) is Reset:
                self._enter_episode()
            if self.view is not None:
                self.view.note(frame, reply, origin.encoding)
        elif type(frame) is Reset:
            self.needs_reset = True
        elif type(reply) is Opened:
            self.was_opened = True

    def _enter_episode(self) -> None:
        if self.view is not None:
            self.view.begin_episode(self.episode.step_count)
        self.needs_reset = False
        self.episode = self._runner.episode

    def _end_call(self, state: SessionState) -> tuple[Request, Origin]:
        """Nothing runs any more; return what did."""
        assert self._running is not None
        call, self._running = self._running, None
        self._interruption_error = None
        self._deadlines.clear(self)
        self.touched_at_s = self._deadlines.now_s
        self.state = state
        return call

    def _interruption(self) -> OpenEnvError:
        assert self._interruption_error is not None
        return self._interruption_error

    def _advance(self) -> None:
        """Begin what waits, until something runs.

        A loop, because inline requests are complete before `_begin` returns.
        """
        if self._is_advancing:
            return
        self._is_advancing = True
        while self._queue and self.state is SessionState.IDLE:
            self._begin(*self._queue.popleft())
        self._is_advancing = False

    # ---- ending calls early

    def _interrupt(self, error: OpenEnvError, state: SessionState) -> bool:
        """Tell the call to end early; when it has unwound, its origin gets the error.

        False, and nothing changed, if that is impossible.
        """
        if not self._runner.interrupt():
            return False
        self.state, self._interruption_error = state, error
        self.needs_reset = True
        self._deadlines.set(self, self._services.config.close_timeout_s)
        return True

    def _cancel_call(self, state: SessionState = SessionState.INTERRUPTED) -> None:
        """Cancel the call for its origin; only steps and resets take long enough."""
        assert self._running is not None
        if type(self._running[0]) not in (Step, Reset):
            return
        # Whether the call has acted is unknown: the session goes on from a known point only.
        self.needs_reset = True
        error = RequestCancelled("cancelled while it ran: reset the session")
        if not self._interrupt(error, state):
            # What waits behind the call does not wait for ever.
            self._hurry()

    def _cancel_last_call(self) -> None:
        self._cancel_call(SessionState.ABORTING)

    def _give_up(self) -> None:
        """End the call early; or leave it behind, and go on with a new environment."""
        assert self._running is not None
        limit_s = self._limit_s(self._running[0])
        error: OpenEnvError = RequestCancelled("given up: what came after it waited too long")
        if limit_s is not None:
            error = StepTimeout(timeout_s=limit_s)
        if not self._interrupt(error, SessionState.INTERRUPTED):
            self._interruption_error = error
            self._leave_behind_and_continue()

    def _leave_behind_and_continue(self) -> None:
        error = self._interruption()
        frame, origin = self._end_call(SessionState.IDLE)
        self._runner.abandon()
        self._runner = self._services.make_runner(self)
        self.needs_reset = True
        origin.reply(error_frame(frame.id, error))
        self._advance()

    def _abort_or_leave_behind(self) -> None:
        error = SessionExpired(self._end_reason or "")
        if not self._interrupt(error, SessionState.ABORTING):
            self._leave_behind_and_finish()

    def _leave_behind_and_finish(self) -> None:
        reason = self._end_reason or "closed; a call that hung was abandoned"
        frame, origin = self._end_call(SessionState.ENDED)
        self._runner.abandon()
        if type(frame) is Close:
            origin.reply(Closed(frame.id, frame.session, reason))
        else:
            origin.reply(error_frame(frame.id, SessionExpired(reason)))
        self._finish(reason)

    def _hurry(self) -> None:
        """Give the call a moment, if it can be left behind after that."""
        if self._runner.can_abandon:
            self._deadlines.bring_forward(self, self._services.config.close_timeout_s)

    # ---- the end

    def _end_after_call(self, patience_s: float | None) -> None:
        self.state = SessionState.FINISHING
        if patience_s is not None:
            self._deadlines.set(self, patience_s)
        elif not self._interrupt(SessionExpired(self._end_reason or ""), SessionState.ABORTING):
            self._hurry()

    def _end_after_interruption(self, patience_s: float | None) -> None:
        self.state = SessionState.ABORTING
        if patience_s is not None:
            self._deadlines.set(self, patience_s)
        else:
            self._hurry()

    def _hurry_close(self, _: float | None) -> None:
        self.state = SessionState.DISPOSING
        self._hurry()

    def _dispose(self, _: float | None = None) -> None:
        """Close the environment for the server."""
        frame = Close(0, 0)
        self._running = (frame, NOBODY)
        self.state = SessionState.DISPOSING
        self._hurry()
        self._runner.start(frame, NOBODY)

    def _refuse_queue(self, error: OpenEnvError) -> None:
        queue, self._queue = self._queue, None
        for frame, origin in queue or ():
            origin.reply(_refusal(frame, error))

    def _finish(self, reason: str) -> None:
        """Forget the session everywhere, and tell the link that holds it."""
        self.state = SessionState.ENDED
        self._refuse_queue(SessionExpired(reason))
        self._runner.release()
        # The runner has the session: neither is to keep the other.
        self._runner = None  # type: ignore[assignment]  # an ended session runs nothing
        self._services.by_token.pop(self.token, None)
        self._deadlines.clear(self)
        if self.view is not None and self._services.spectators is not None:
            self._services.spectators.remove(self.view)
            # The view has the session: neither is to keep the other.
            self.view = self.watched_view = None
        if self.holder is not None:
            self.holder.session_ended(self, reason)
        # Last, because it may open the session that waits for the slot.
        self._services.slots.release(self)


def _refusal(frame: Request, error: OpenEnvError) -> Reply:
    """Return the reply to a request of a session that ends; a close has got what it asks for."""
    if type(frame) is Close:
        return Closed(frame.id, frame.session)
    return error_frame(frame.id, error)
