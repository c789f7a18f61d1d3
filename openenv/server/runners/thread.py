"""ThreadRunner: calls an environment on a thread of its own, and LoopBridge, the way back.

What a runner is, runner.py says. Knows nothing of sessions beyond that they are told on the event
loop when a call has settled.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from openenv.errors import RequestCancelled, SessionCreationError
from openenv.protocol.frames import Close, Partial
from openenv.server.runners.inline import Origin, Runner, error_frame, show

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from openenv.server.runners.calls import EnvironmentCalls
    from openenv.server.sessions.session import Session

logger = logging.getLogger("openenv.server")

PARTIALS_AHEAD = 8
"How many partial observations a thread may produce before the event loop has taken the first."


class ThreadRunner(Runner):
    """Calls an environment on one thread from construction to close: some libraries demand it."""

    __slots__ = ("_is_abandoned", "_is_closed", "_make_thread", "_thread", "_unsent")

    @property
    def can_abandon(self) -> bool:
        """Only a shared instance cannot: there is no other to go on with."""
        return not self.calls.is_shared

    def __init__(
        self,
        calls: EnvironmentCalls,
        session: Session,
        make_thread: Callable[[], EnvironmentThread],
    ) -> None:
        super().__init__(calls, session)
        self._make_thread = make_thread
        self._thread: EnvironmentThread | None = None
        self._is_abandoned = False
        self._is_closed = False
        self._unsent: threading.Semaphore | None = None
        "How many more partial observations the running call may produce before one was sent."

    def start(self, frame: Any, origin: Origin) -> None:
        """Queue a request for the thread, which begins with the first one."""
        if self._thread is None:
            try:
                self._thread = self._make_thread()
            except RuntimeError as error:  # the system has no more threads
                refusal = SessionCreationError(str(error))
                self.session.settle(self, frame, origin, error_frame(frame.id, refusal))
                return
        self._thread.submit(self, frame, origin)

    def abandon(self) -> None:
        """Leave the thread to the call that hangs in it."""
        self._is_abandoned = True
        if self._thread is not None:
            self._thread.abandon(self)
        if self._unsent is not None:
            self._unsent.release()

    def emit(self, origin: Origin, frame: Partial) -> None:
        """Send an intermediate observation, from the thread; wait while the client takes none.

        Raises RequestCancelled in a call that was left behind.
        """
        assert self._thread is not None
        unsent = self._unsent
        if unsent is None:
            unsent = self._unsent = threading.Semaphore(PARTIALS_AHEAD)
        unsent.acquire()
        if self._is_abandoned:
            raise RequestCancelled("the call was given up")
        self._thread.bridge.post(_show, self.session, origin, frame, unsent)

    def run(self, frame: Any, origin: Origin) -> None:
        """Perform a request; runs on the thread."""
        assert self._thread is not None
        if self._is_abandoned and (self.environment is None or self._is_closed):
            # Nothing was made, or it was the call to close that hung.
            return
        self._is_closed = type(frame) is Close
        # Of this call's own client: the last one's may still have no room.
        self._unsent = None
        reply = self.perform(frame, origin)
        if not self._is_abandoned:
            self._thread.bridge.post(self.session.settle, self, frame, origin, reply)

    def release(self) -> None:
        """Let the thread end when its environment is closed."""
        if self._thread is not None and not self._is_abandoned:
            self._thread.release()


def _show(session: Session, origin: Origin, frame: Partial, unsent: threading.Semaphore) -> None:
    """Send an intermediate observation, and let the thread go on; on the event loop."""
    show(session, origin, frame)
    if (room := origin.until_room()) is None:
        unsent.release()
    else:
        room.add_done_callback(lambda _: unsent.release())


class EnvironmentThread:
    """A daemon thread that serves one runner, or all of a class that demands a single thread."""

    def __init__(self, bridge: LoopBridge, *, is_shared: bool = False) -> None:
        self.bridge = bridge
        self.is_shared = is_shared
        self.is_hung = False
        self._queue: SimpleQueue[tuple[ThreadRunner, Any, Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="openenv-environment", daemon=True)
        self._thread.start()

    def submit(self, runner: ThreadRunner, frame: Any, origin: Origin) -> None:
        """Queue a request."""
        self._queue.put((runner, frame, origin))

    def abandon(self, runner: ThreadRunner) -> None:
        """Count the thread as hung until it comes back; then it closes the runner's environment.

        It ends after that, unless other runners share it.
        """
        if not self.is_hung:
            self.is_hung = True
            self.bridge.hung_threads += 1
        self._queue.put((runner, Close(0, 0), None))
        self.release()

    def release(self) -> None:
        """End the thread after what is queued, unless others use it."""
        if not self.is_shared:
            self.stop()

    def stop(self) -> None:
        """End the thread after what is queued."""
        self._queue.put(None)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            runner, frame, origin = item
            if self.is_hung:
                self.bridge.post(self._come_back)
            runner.run(frame, origin)

    def _come_back(self) -> None:
        """The call that hung has ended after all; on the event loop."""
        if self.is_hung:
            self.is_hung = False
            self.bridge.hung_threads -= 1


class LoopBridge:
    """From environment threads back to the event loop: many results, one wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.hung_threads = 0
        self._loop = loop
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._is_scheduled = False

    def post(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call something on the event loop soon; from any thread."""
        self._calls.append((call, arguments))
        # Between append and this test the loop may have emptied the queue: then the wake-up finds
        # nothing, which is harmless. The reverse cannot happen, because `_run` clears the flag
        # before it takes the first call.
        if not self._is_scheduled:
            self._is_scheduled = True
            try:
                self._loop.call_soon_threadsafe(self._run)
            except RuntimeError:
                logger.debug("the event loop is closed: a late result is dropped")

    def _run(self) -> None:
        self._is_scheduled = False
        calls = self._calls
        while calls:
            call, arguments = calls.popleft()
            try:
                call(*arguments)
            except Exception:
                # Those behind it are other sessions'.
                logger.exception("what a thread has posted could not be done")
