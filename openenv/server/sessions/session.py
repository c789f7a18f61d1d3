"""Session: the server-side life of one environment: what happens to it, event by event.

One request at a time, in order. Each event looks up in states.py what the session does; actions.py
does it. Knows nothing of sockets and dialects: a request comes with its origin, and the origin gets
the reply. An idle session owns no task, thread wake-up or timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openenv.errors import RequestCancelled, ServerClosing, SessionExpired
from openenv.protocol.frames import Close, Open, Partial, Result, Step
from openenv.protocol.server import error_frame
from openenv.server.sessions.actions import SessionActions
from openenv.server.sessions.states import IGNORE, TABLE, SessionEvent, SessionState

if TYPE_CHECKING:
    from openenv.protocol.frames import Request
    from openenv.server.ports import Origin, Reply

_IDLE, _RUNNING = SessionState.IDLE, SessionState.RUNNING


class _NotStepped:
    """The class of NOT_STEPPED alone."""


NOT_STEPPED: Final = _NotStepped()
"What `step_now` returns when it has not stepped."


class Session(SessionActions):
    """`open` comes first; then `submit` runs requests, and `end` ends the session from outside."""

    __slots__ = ()

    @property
    def is_ended(self) -> bool:
        """Whether the session is no more."""
        return self.state is SessionState.ENDED

    def open(self, frame: Open, origin: Origin) -> None:
        """Construct the environment, as soon as there is a slot. The first call of a session."""
        self._running = (frame, origin)
        if self._services.slots.reserve(self):
            self._construct()
        elif frame.wait_s > 0:
            self._services.slots.wait(self, frame.wait_s)
        else:
            self._refuse_slot()

    def submit(self, frame: Request, origin: Origin) -> None:
        """Run a request now, or after those before it.

        The origin gets exactly one reply, here or later.
        """
        if (
            self.state is _IDLE
            and self._steps_inline
            and type(frame) is Step
            and not self.needs_reset
        ):
            # The short way of `_begin` and `complete`, for a step that ends before this returns.
            reply = self._runner.perform(frame, origin)
            if type(reply) is Result and self.watched_view is not None:
                self.watched_view.note(frame, reply, origin.encoding)
            self.touched_at_s = self._deadlines.now_s
            origin.reply(reply)
        elif self.state is _IDLE:
            # What the table says, without looking: most requests find their session idle.
            self._begin(frame, origin)
        else:
            getattr(self, TABLE[SessionEvent.SUBMIT][self.state])(frame, origin)

    def step_now(self, action: Any) -> Any:
        """Step at once and return the observation; NOT_STEPPED if that is impossible now.

        For many sessions in one frame (links/batch.py). Raises whatever the environment does.
        """
        if self.state is not _IDLE or not self._steps_inline or self.needs_reset:
            return NOT_STEPPED
        observation = self._runner.bound.step(action)  # type: ignore[union-attr]  # IDLE has one
        self.episode.step_count += 1
        if self.watched_view is not None:
            self.watched_view.note_observation(action, observation)
        self.touched_at_s = self._deadlines.now_s
        return observation

    def complete(self, runner: object, frame: Request, origin: Origin, reply: Reply) -> None:
        """Take a runner's reply; on the event loop.

        The reply of an abandoned runner comes too late and is dropped.
        """
        if runner is not self._runner:
            return
        if self.state is _RUNNING:
            self._deliver(frame, origin, reply)
        else:
            getattr(self, TABLE[SessionEvent.COMPLETE][self.state])(frame, origin, reply)

    def emit(self, origin: Origin, partial: Partial) -> None:
        """Pass on an intermediate observation of the running step; on the event loop."""
        if self.view is not None:
            self.view.note_partial(partial, origin.encoding)
        origin.reply(partial)

    def cancel(self, request_id: int, origin: Origin) -> None:
        """Give up a request: a queued one never runs, a running one is ended early if possible.

        Only its own origin can, and a close is never given up.
        """
        for item in self._queue or ():
            if item[0].id == request_id and item[1] is origin and type(item[0]) is not Close:
                self._queue.remove(item)  # type: ignore[union-attr]
                error = RequestCancelled("cancelled before it ran")
                origin.reply(error_frame(request_id, error))
                return
        if self._running is not None:
            frame, asker = self._running
            if frame.id == request_id and asker is origin:
                getattr(self, TABLE[SessionEvent.CANCEL][self.state])()

    def grant_slot(self) -> None:
        """A slot has come free, and is this session's."""
        getattr(self, TABLE[SessionEvent.GRANT][self.state])()

    def end(
        self, reason: str, patience_s: float | None = None, *, is_draining: bool = False
    ) -> None:
        """End the session from outside.

        Queued requests are refused. The running call gets `patience_s`; without, it is told to end
        early, or gets a moment if that is impossible.
        """
        action = TABLE[SessionEvent.END][self.state]
        if action == IGNORE:
            return
        self._end_reason = reason
        self._refuse_queue(SessionExpired(reason))
        if action == "_refuse_slot":
            self._refuse_slot(ServerClosing(reason) if is_draining else None)
        else:
            getattr(self, action)(patience_s)
