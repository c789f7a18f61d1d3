"""ThreadRunner: calls an environment on a thread of its own, and LoopBridge, the way back.

What a runner is, inline.py says. Knows nothing of sessions beyond that they are told on the event
loop when a call is complete.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from openenv.errors import RequestCancelled, SessionCreationError
from openenv.protocol.frames import Close, Partial
from openenv.protocol.server import error_frame
from openenv.server.runners.inline import Runner

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from openenv.protocol.frames import Request
    from openenv.server.ports import Origin, RunningSession
    from openenv.server.runners.spec import EnvironmentSpec

logger = logging.getLogger("openenv.server")

PARTIALS_AHEAD = 8
"How many partial observations a thread may produce before the event loop has sent the first."


class ThreadRunner(Runner):
    """Calls an environment on one thread from construction to close: some libraries demand it."""

    __slots__ = ("_emitter", "_is_abandoned", "_is_closed", "_make_thread", "_thread")

    @property
    def can_abandon(self) -> bool:
        """Only a shared instance cannot: there is no other to go on with."""
        return not self.spec.is_shared

    def __init__(
        self,
        spec: EnvironmentSpec,
        session: RunningSession,
        make_thread: Callable[[], EnvironmentThread],
    ) -> None:
        super().__init__(spec, session)
        self._make_thread = make_thread
        self._thread: EnvironmentThread | None = None
        self._emitter: PartialEmitter | None = None
        self._is_abandoned = False
        self._is_closed = False

    def start(self, frame: Request, origin: Origin) -> None:
        """Queue a request for the thread, which begins with the first one."""
        if self._thread is None:
            try:
                self._thread = self._make_thread()
            except RuntimeError as error:  # the system has no more threads
                refusal = SessionCreationError(str(error))
                self.session.complete(self, frame, origin, error_frame(frame.id, refusal))
                return
        self._thread.submit(self.run, frame, origin)

    def abandon(self) -> None:
        """Leave the thread to the call that hangs in it."""
        self._is_abandoned = True
        if self._thread is not None:
            self._thread.abandon(self.run, Close(0, 0), None)
        if self._emitter is not None:
            self._emitter.abandon()

    def emit(self, origin: Origin, frame: Partial) -> None:
        """Send an intermediate observation, from the thread; see PartialEmitter."""
        assert self._thread is not None
        if self._emitter is None:
            self._emitter = PartialEmitter(self.session, self._thread.bridge)
            if self._is_abandoned:
                self._emitter.abandon()
        self._emitter.emit(origin, frame)

    def run(self, frame: Request, origin: Origin) -> None:
        """Perform a request; runs on the thread."""
        assert self._thread is not None
        if self._is_abandoned and (self.bound is None or self._is_closed):
            # Nothing was made, or it was the call to close that hung.
            return
        self._is_closed = type(frame) is Close
        # Each call gets a fresh emitter: the client of the previous one may still have no room.
        self._emitter = None
        reply = self.perform(frame, origin)
        if not self._is_abandoned:
            self._thread.bridge.post(self.session.complete, self, frame, origin, reply)

    def release(self) -> None:
        """Let the thread end when its environment is closed."""
        if self._thread is not None and not self._is_abandoned:
            self._thread.release()
            self.bound = None


class PartialEmitter:
    """Sends the partial observations of one call from its thread, as fast as the client reads."""

    __slots__ = ("_bridge", "_is_abandoned", "_session", "_unsent")

    def __init__(self, session: RunningSession, bridge: LoopBridge) -> None:
        self._session = session
        self._bridge = bridge
        self._is_abandoned = False
        self._unsent = threading.Semaphore(PARTIALS_AHEAD)
        "How many more the call may produce before one was sent."

    def emit(self, origin: Origin, frame: Partial) -> None:
        """Send an intermediate observation; block while the client has no room for more.

        Raises RequestCancelled in a call that was left behind.
        """
        self._unsent.acquire()
        if self._is_abandoned:
            raise RequestCancelled("the call was given up")
        self._bridge.post(self._send, origin, frame)

    def abandon(self) -> None:
        """Let the call go on, to learn that it was left behind."""
        self._is_abandoned = True
        self._unsent.release()

    def _send(self, origin: Origin, frame: Partial) -> None:
        self._session.emit(origin, frame)
        if (room := origin.until_room()) is None:
            self._unsent.release()
        else:
            room.add_done_callback(lambda _: self._unsent.release())


class EnvironmentThread:
    """A daemon thread that serves one runner, or all of a class that demands a single thread."""

    def __init__(self, bridge: LoopBridge, *, is_shared: bool = False) -> None:
        self.bridge = bridge
        self.is_shared = is_shared
        self.is_hung = False
        self._queue: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="openenv-environment", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Any], *arguments: object) -> None:
        """Queue a call, which raises nothing."""
        self._queue.put((function, arguments))

    def abandon(self, function: Callable[..., Any], *arguments: object) -> None:
        """Count the thread as hung until it comes back; then it makes this last call, and ends.

        It does not end if other runners share it.
        """
        self.hang()
        self.submit(function, *arguments)
        self.release()

    def hang(self) -> None:
        """Count the thread as hung: its call was left behind."""
        if not self.is_hung:
            self.is_hung = True
            self.bridge.hung_threads += 1

    def come_back(self) -> None:
        """The call that hung has ended after all; on the event loop."""
        if self.is_hung:
            self.is_hung = False
            self.bridge.hung_threads -= 1

    def release(self) -> None:
        """End the thread after what is queued, unless others use it."""
        if not self.is_shared:
            self.stop()

    def stop(self) -> None:
        """End the thread after what is queued."""
        self._queue.put(None)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self.is_hung:
                self.bridge.post(self.come_back)
            function, arguments = item
            function(*arguments)
            # A shared thread may wait long for the next call: it keeps nobody's environment.
            del item, function, arguments


class EnvironmentThreads:
    """Makes the threads of one server's environments, and knows which of them hang."""

    def __init__(self, *, shares_one: bool) -> None:
        self._shares_one = shares_one
        self._bridge: LoopBridge | None = None
        self._shared: list[EnvironmentThread] = []
        "The threads that all environments share, the newest last; those before it hang, or have."

    @property
    def hung(self) -> int:
        """How many threads hang in a call that was given up."""
        return 0 if self._bridge is None else self._bridge.hung_threads

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Bring results back to this event loop from now on."""
        self._bridge = LoopBridge(loop)

    def make(self) -> EnvironmentThread:
        """Return a thread for one more environment. Raises RuntimeError if there can be none."""
        assert self._bridge is not None
        if not self._shares_one:
            return EnvironmentThread(self._bridge)
        if not self._shared or self._shared[-1].is_hung:
            self._shared.append(EnvironmentThread(self._bridge, is_shared=True))
        return self._shared[-1]

    def stop(self) -> None:
        """End the threads that all share; the others end with their environments."""
        for thread in self._shared:
            thread.stop()
        self._shared.clear()


class LoopBridge:
    """From environment threads back to the event loop: many results, one wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.hung_threads = 0
        self._loop = loop
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._is_scheduled = False

    def post(self, call: Callable[..., Any], *arguments: object) -> None:
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
