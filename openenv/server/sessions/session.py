"""Session: the server-side life of one environment instance. One request at a time, in order.

Owns the mailbox, the episode's counters, and what is allowed when. Knows nothing of sockets and
dialects: a request comes with its origin, and the origin gets the reply. An idle session owns no
task, thread wake-up or timer.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from openenv.errors import (
    NotReset,
    OpenEnvError,
    RequestCancelled,
    ServerClosing,
    SessionExpired,
    StepTimeout,
    TooManyRequests,
)
from openenv.protocol.frames import Close, Closed, Error, Open, Reset, Result, Step
from openenv.server.runners.inline import NOBODY, Origin, Runner, error_frame, refusal

if TYPE_CHECKING:
    from openenv.server.sessions.registry import SessionRegistry
    from openenv.server.watching.views import SessionView

Request = tuple[Any, Origin]


class _Later:
    """The class of LATER alone."""


LATER: Final = _Later()
"What `step_now` returns when it has not stepped."


class Session:
    """Made by the registry. `submit` takes requests, `end` ends it from outside."""

    __slots__ = (
        "_ending",
        "_is_advancing",
        "_queue",
        "_runner",
        "_running",
        "_steps_inline",
        "_verdict",
        "created_at_s",
        "episode_id",
        "has_slot",
        "holder",
        "idle_limit_s",
        "is_ended",
        "is_named",
        "label",
        "last_reply",
        "needs_reset",
        "registry",
        "step_count",
        "token",
        "touched_at_s",
        "view",
        "watched_view",
    )

    def __init__(self, registry: SessionRegistry, token: str, label: str | None = None) -> None:
        self.registry = registry
        self.token = token
        self.label = label
        self.holder: Any = None
        "The link that has the session open and is told when it ends; None if only HTTP uses it."
        self.is_named = False
        "Whether a client names it over HTTP: then it outlives the link that has opened it."
        self.idle_limit_s: float | None = None
        "How long it may be idle while no live link holds it, if not for as long as others."
        self.has_slot = False
        self.is_ended = False
        self.needs_reset = True
        self.episode_id: str | None = None
        self.step_count = 0
        self.created_at_s = self.touched_at_s = registry.now_s
        self.last_reply: tuple[str, Any] | None = None
        "(request id, reply) of the last named step over HTTP, so that repeating it is harmless."
        self.view: SessionView | None = None
        self.watched_view: SessionView | None = None
        "What spectators may see, if they may; the same while one does, for the short way of steps."
        self._runner: Runner = registry.make_runner(self)
        self._steps_inline = registry.calls.execution == "inline"
        self._running: Request | None = None
        self._queue: deque[Request] | None = None
        self._is_advancing = False
        self._verdict: OpenEnvError | None = None
        "What the caller of the running request is told, which has been interrupted."
        self._ending: str | None = None
        "Why the session is being closed by the server."

    @property
    def is_busy(self) -> bool:
        """Whether a request runs."""
        return self._running is not None

    @property
    def was_opened(self) -> bool:
        """Whether there was an environment."""
        return self._runner.environment is not None

    def submit(self, frame: Any, origin: Origin) -> None:
        """Run a request now, or after those before it.

        The origin gets exactly one reply, here or later.
        """
        if self._running is not None:
            self._enqueue(frame, origin)
        elif self._steps_inline and type(frame) is Step and not self.needs_reset:
            # The short way of `_begin` and `settle`, for a step that ends before this returns.
            reply = self._runner.perform(frame, origin)
            if type(reply) is Result:
                self.step_count += 1
                if self.watched_view is not None:
                    self.watched_view.take(frame, reply, origin.encoding)
            self.touched_at_s = self.registry.now_s
            origin.reply(reply)
        else:
            self._begin(frame, origin)

    def step_now(self, action: Any) -> Any:
        """Step at once and return the observation; LATER, and nothing done, if that cannot be.

        For many sessions in one frame (batch.py). Raises whatever the environment does.
        """
        if not self._steps_inline or self._running is not None or self.needs_reset:
            return LATER
        observation = self._runner.environment.step(action)
        self.step_count += 1
        if self.watched_view is not None:
            self.watched_view.take_observation(action, observation)
        self.touched_at_s = self.registry.now_s
        return observation

    def open(self, frame: Open, origin: Origin) -> None:
        """Construct the environment, as soon as there is a slot.

        The first call on every session.
        """
        self._running = (frame, origin)
        if self.registry.take_slot(self):
            self._runner.start(frame, origin)
        elif frame.wait_s > 0:
            self.registry.wait_for_slot(self, frame.wait_s)
        else:
            self.refuse_slot()

    def take_slot(self) -> None:
        """Go on with `open`: a slot has come free, and it is this session's."""
        assert self._running is not None
        self._runner.start(*self._running)

    def refuse_slot(self, error: OpenEnvError | None = None) -> None:
        """Give `open` up: there is no slot, and none came free in time."""
        assert self._running is not None
        (frame, origin), self._running = self._running, None
        origin.reply(error_frame(frame.id, error or self.registry.capacity_error()))
        self._finish("no slot")

    def adopt(self, environment: Any) -> None:
        """Let an environment that has no state of its own see the episode's counters."""
        if self.registry.calls.counts_episodes:
            environment._episode = self

    def settle(self, runner: Runner, frame: Any, origin: Origin, reply: Any) -> None:
        """Take a runner's reply; on the event loop.

        What an abandoned runner says comes too late and is dropped.
        """
        if runner is not self._runner or self.is_ended:
            return
        kind = type(frame)
        verdict, self._verdict = self._verdict, None
        if verdict is not None:
            reply = error_frame(frame.id, verdict)
        elif type(reply) is Result:
            if kind is Step:
                self.step_count += 1
            else:
                self._begin_episode(frame)
            if self.view is not None:
                self.view.take(frame, reply, origin.encoding)
        elif kind is Reset:
            self.needs_reset = True
        self._running = None
        self.touched_at_s = self.registry.now_s
        if self.registry.deadlines:
            self.registry.clear_deadline(self)
        if type(reply) is Closed:
            reply.reason = self._ending or reply.reason
        origin.reply(reply)
        self._go_on(kind, origin, reply)

    def _go_on(self, kind: type, origin: Origin, reply: Any) -> None:
        """Do what comes after a reply."""
        if self.is_ended or self._running is not None:
            # The reply was one too many for a link that nobody reads, and has ended it.
            return
        if kind is Close or (kind is Open and type(reply) is Error):
            self._finish(self._ending or _why(kind, origin is self.holder))
        elif self._ending is not None:
            self._close()
        elif self._queue:
            self._advance()

    def cancel(self, request_id: int, origin: Origin) -> None:
        """Give up a request: a queued one never runs, a running one is ended early if it can be.

        But who wanted to close a session never wants it back.
        """
        for item in self._queue or ():
            if item[0].id == request_id and item[1] is origin and type(item[0]) is not Close:
                self._queue.remove(item)  # type: ignore[union-attr]
                origin.reply(error_frame(request_id, RequestCancelled("cancelled before it ran")))
                return
        if self._running is None or self._running[0].id != request_id:
            return
        frame, asker = self._running
        if asker is origin and not self.has_slot:
            self.refuse_slot()
        elif asker is origin and type(frame) in (Step, Reset):
            # Whether the call has acted is unknown: the session goes on from a known point only.
            self.needs_reset = True
            if not self._interrupt(RequestCancelled("cancelled while it ran: reset the session")):
                # What waits behind the call does not wait for ever.
                self._limit(self.registry.config.close_timeout_s)

    def expire_deadline(self) -> None:
        """The running call, or the wait for a slot, has taken too long."""
        if self._running is None:
            return
        frame = self._running[0]
        if not self.has_slot:
            self.refuse_slot()
        elif type(frame) is Close:
            self._leave_behind_and_finish()
        elif self._ending is not None:
            if not self._interrupt(SessionExpired(self._ending)):
                self._leave_behind_and_finish()
        else:
            limit_s = self._limit_s(frame)
            error: OpenEnvError = RequestCancelled("given up: what came after it waited too long")
            self._give_up(error if limit_s is None else StepTimeout(timeout_s=limit_s))

    def end(self, reason: str, patience_s: float | None = None) -> None:
        """End the session from outside.

        Queued requests are refused, then close. The running one gets `patience_s`, or, without, a
        moment if it cannot be interrupted.
        """
        if self.is_ended or self._ending is not None:
            return
        self._ending = reason
        self._refuse_queue(SessionExpired(reason))
        if self._running is None:
            self._close()
        elif not self.has_slot:
            self.refuse_slot(ServerClosing(reason) if self.registry.is_draining else None)
        elif type(self._running[0]) is Close:
            self._limit(self.registry.config.close_timeout_s)
        elif patience_s is not None:
            self.registry.set_deadline(self, patience_s)
        elif not self._interrupt(SessionExpired(reason)):
            self._limit(self.registry.config.close_timeout_s)

    def _begin(self, frame: Any, origin: Origin) -> None:
        if self.needs_reset and self._refuses(frame, origin):
            return
        self._running = (frame, origin)
        limit_s = self._limit_s(frame)
        if limit_s is not None and self._runner.can_abandon:
            self.registry.set_deadline(self, limit_s)
        self._runner.start(frame, origin)

    def _advance(self) -> None:
        """Begin what waits, until something runs.

        A loop, because inline requests settle before `_begin` returns.
        """
        if self._is_advancing:
            return
        self._is_advancing = True
        while self._queue and self._running is None and self._ending is None:
            self._begin(*self._queue.popleft())
        self._is_advancing = False

    def _enqueue(self, frame: Any, origin: Origin) -> None:
        if self._queue is None:
            self._queue = deque()
        if self._ending is not None:
            origin.reply(refusal(frame, SessionExpired(self._ending)))
        elif len(self._queue) >= self.registry.config.max_queued_requests:
            origin.reply(
                error_frame(frame.id, TooManyRequests("too many requests wait in this session"))
            )
        else:
            self._queue.append((frame, origin))
            if type(frame) is Close:
                self._limit(self.registry.config.close_timeout_s)

    def _refuses(self, frame: Any, origin: Origin) -> bool:
        """Whether the request needs a reset first; then its origin has been told."""
        if type(frame) in (Reset, Close) or (
            origin.is_lenient and self._runner.environment is not None
        ):
            return False
        origin.reply(error_frame(frame.id, NotReset("call reset first")))
        return True

    def _begin_episode(self, frame: Reset) -> None:
        if self.view is not None:
            self.view.begin_episode(self.step_count)
        self.needs_reset = False
        self.step_count = 0
        self.episode_id = frame.episode_id or self.registry.new_token()

    def _limit_s(self, frame: Any) -> float | None:
        """Return how long a request may take."""
        if type(frame) is Close:
            return self.registry.config.close_timeout_s
        server_s = self.registry.step_timeout_s
        if type(frame) is not Step or frame.timeout_s is None:
            return server_s
        own_s: float = frame.timeout_s
        return own_s if server_s is None else min(own_s, server_s)

    def _limit(self, timeout_s: float) -> None:
        if self._runner.can_abandon:
            self.registry.bring_deadline_forward(self, timeout_s)

    def _interrupt(self, verdict: OpenEnvError) -> bool:
        """End the running call early; when it has unwound, its caller gets the verdict.

        False if that cannot be done, or was tried before.
        """
        if self._verdict is not None or not self._runner.interrupt():
            return False
        self._verdict = verdict
        self.needs_reset = True
        self.registry.set_deadline(self, self.registry.config.close_timeout_s)
        return True

    def _give_up(self, error: OpenEnvError) -> None:
        """Interrupt the running call; or leave it behind, and go on with a new environment."""
        if self._interrupt(error):
            return
        frame, origin = self._leave_behind()
        self._runner = self.registry.make_runner(self)
        self.needs_reset = True
        origin.reply(error_frame(frame.id, error))
        self._advance()

    def _leave_behind(self) -> Request:
        assert self._running is not None
        request, self._running, self._verdict = self._running, None, None
        self.registry.clear_deadline(self)
        self._runner.abandon()
        return request

    def _leave_behind_and_finish(self) -> None:
        frame, origin = self._leave_behind()
        reason = self._ending or "closed; a call that hung was abandoned"
        origin.reply(
            Closed(frame.id, frame.session, reason)
            if type(frame) is Close
            else error_frame(frame.id, SessionExpired(reason))
        )
        self._finish(reason)

    def _close(self) -> None:
        frame = Close(0, 0)
        self._running = (frame, NOBODY)
        self._limit(self.registry.config.close_timeout_s)
        self._runner.start(frame, NOBODY)

    def _refuse_queue(self, error: OpenEnvError) -> None:
        queue, self._queue = self._queue, None
        for frame, origin in queue or ():
            origin.reply(refusal(frame, error))

    def _finish(self, reason: str) -> None:
        self.is_ended = True
        self._refuse_queue(SessionExpired(reason))
        self._runner.release()
        self.registry.remove(self, reason)


def _why(kind: type, is_holders: bool) -> str:
    """Return why a session ends by a request; its holder is told unless it was its own."""
    if kind is Open:
        return "could not be opened"
    return "closed" if is_holders else "closed by another client"
