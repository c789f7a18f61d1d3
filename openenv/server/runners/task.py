"""TaskRunner: calls an environment that has async methods, in a task of the session's own.

What a runner is, inline.py says. The task runs in the server's task group, under a cancel scope of
the session; ordinary functions of such a class run on a thread, because they may block.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio

from openenv.errors import OpenEnvError, RequestCancelled, SessionCreationError
from openenv.protocol.frames import Close, Open, Partial, Step
from openenv.protocol.server import error_frame
from openenv.server.runners.inline import Runner
from openenv.server.runners.thread import PartialEmitter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from openenv.protocol.frames import Request
    from openenv.server.ports import Call, Deadlines, Origin, Reply, RunningSession, Spawn
    from openenv.server.runners.spec import EnvironmentSpec
    from openenv.server.runners.thread import EnvironmentThread, LoopBridge

LINGER_S = 1.0
"How long the task of an idle session stays: to wake it is cheaper than to start another."


class TaskRunner(Runner):
    """Starts its task with the first request, and again with one that comes after a pause."""

    __slots__ = (
        "_deadlines",
        "_emitter",
        "_has_task",
        "_is_abandoned",
        "_is_calling",
        "_is_interrupted",
        "_is_released",
        "_make_thread",
        "_on_thread",
        "_request",
        "_scope",
        "_spawn",
        "_task",
        "_thread",
        "_wake",
    )

    @property
    def can_abandon(self) -> bool:
        """Only a shared instance cannot: there is no other to go on with."""
        return not self.spec.is_shared

    def __init__(
        self,
        spec: EnvironmentSpec,
        session: RunningSession,
        spawn: Spawn,
        deadlines: Deadlines,
        make_thread: Callable[[], EnvironmentThread],
    ) -> None:
        super().__init__(spec, session)
        self._spawn = spawn
        self._deadlines = deadlines
        self._make_thread = make_thread
        self._thread: EnvironmentThread | None = None
        self._emitter: PartialEmitter | None = None
        self._request: tuple[Request, Origin] | None = None
        "The one to run next."
        self._has_task = False
        "Whether there is a task, or one has been asked for."
        self._task: asyncio.Task[Any] | None = None
        self._scope: anyio.CancelScope | None = None
        self._wake: asyncio.Future[None] | None = None
        "What the idle task waits for."
        self._is_calling = False
        self._on_thread = False
        "Whether the running call is on the thread, where nothing can interrupt it."
        self._is_interrupted = False
        self._is_abandoned = False
        self._is_released = False

    # ---- called by the session

    def start(self, frame: Request, origin: Origin) -> None:
        """Run a request in the task."""
        self._request, self._is_interrupted = (frame, origin), False
        if self._has_task:
            self._wake_up()
        else:
            self._has_task = True
            self._spawn(self._serve)

    def interrupt(self) -> bool:
        """Cancel the running call; it completes when it has unwound.

        Once, as asyncio does: the scope would also cancel what the call awaits to clean up.
        """
        if self._on_thread:
            return False
        self._is_interrupted = True
        # What the call sends may end its session: then `emit` raises, because a task that cancels
        # itself is told so at its next await, which may be another call's.
        if self._is_calling and self._task not in (None, asyncio.current_task()):
            self._task.cancel()
        return True

    def abandon(self) -> None:
        """Leave a call behind: one on the thread, or one that does not end although cancelled."""
        self._is_abandoned = True
        if self._emitter is not None:
            self._emitter.abandon()
        if self._on_thread and self._thread is not None:
            self._thread.hang()
        elif self._scope is not None:
            self._scope.cancel()

    def release(self) -> None:
        """Let task and thread end."""
        self._is_released = True
        self._wake_up()
        if self._thread is not None and not self._is_abandoned:
            self._thread.release()
        if not self._is_abandoned:
            self.bound = None

    def expire_deadline(self) -> None:
        """The task has been idle for so long that it ends."""
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # ---- the task

    async def _serve(self) -> None:
        """Run requests until none has come for a while, or the session has ended."""
        self._task = asyncio.current_task()
        try:
            with anyio.CancelScope() as self._scope:
                while await self._has_request():
                    assert self._request is not None
                    (frame, origin), self._request = self._request, None
                    await self._run(frame, origin)
        finally:
            self._task = self._scope = None
            self._has_task = False

    async def _has_request(self) -> bool:
        """Wait for the next request; False when the task is to end."""
        if self._request is None and not self._is_released:
            self._wake = asyncio.get_running_loop().create_future()
            self._deadlines.set(self, LINGER_S)
            try:
                await self._wake
            finally:
                self._wake = None
                self._deadlines.clear(self)
        return self._request is not None

    async def _run(self, frame: Request, origin: Origin) -> None:
        if self._is_interrupted:
            reply: Reply = error_frame(frame.id, RequestCancelled("cancelled before it ran"))
        else:
            reply = await self._perform_interruptibly(frame, origin)
        if not self._is_abandoned:
            self.session.complete(self, frame, origin, reply)
            return
        await self._clean_up(frame, origin)

    async def _clean_up(self, frame: Request, origin: Origin) -> None:
        """Close the environment of a call that was left behind, and has ended after all."""
        self._is_released = True
        if self._thread is not None:
            self._thread.come_back()
        if self.bound is not None and not isinstance(frame, Close):
            with anyio.CancelScope(shield=True):
                await self._perform_async(Close(0, 0), origin)
        self.bound = None
        if self._thread is not None:
            self._thread.release()

    async def _perform_interruptibly(self, frame: Request, origin: Origin) -> Reply:
        self._is_calling, self._emitter = True, None
        try:
            return await self._perform_async(frame, origin)
        finally:
            self._is_calling = False
            if self._is_interrupted and self._task is not None:
                # The cancellation has done its work; the next call is not to see it.
                self._task.uncancel()

    async def _perform_async(self, frame: Request, origin: Origin) -> Reply:
        """Run a request to its reply. Raises nothing."""
        try:
            if self.bound is None and not isinstance(frame, Close):
                if self.spec.convention.constructs_on_thread:
                    self.bound = await self._call_on_thread(self.spec.construct)
                else:
                    self.bound = self.spec.construct()
            if isinstance(frame, Open):
                return self._opened(frame)
            return self._reply(frame, await self._outcome_async(frame, origin))
        except OpenEnvError as error:
            return error_frame(frame.id, error)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        # The session's boundary, as in inline.py.
        except BaseException as error:  # noqa: BLE001 - logged by `error`
            if isinstance(error, asyncio.CancelledError) and self._is_interrupted:
                return error_frame(frame.id, RequestCancelled("cancelled while it ran"))
            return self._replies.error(frame.id, error)

    async def _outcome_async(self, frame: Call, origin: Origin) -> object:
        """Return what the method comes to, wherever it runs."""
        convention, call = self.spec.convention, self._prepare(frame, origin)
        if self.bound is not None and convention.runs_on_thread(convention.method_for(frame)):
            outcome = await self._call_on_thread(self._outcome, frame, origin, call)
        else:
            outcome = self._outcome(frame, origin, call)
        try:
            if inspect.isasyncgen(outcome):
                return await self._exhaust_async(frame, origin, outcome)
            return await outcome if inspect.isawaitable(outcome) else outcome
        except RequestCancelled:  # by `emit`: not the environment's
            raise
        except (Exception, SystemExit) as error:
            raise self._replies.fault(error) from error

    async def _exhaust_async(
        self, frame: Call, origin: Origin, values: AsyncGenerator[Any, Any]
    ) -> object:
        last: object = None
        # Closed before the next call, also where this one is cancelled while it waits for room.
        async with aclosing(values):
            async for value in values:
                if last is not None and isinstance(frame, Step) and frame.stream:
                    self.emit(origin, self._replies.partial(frame, last))
                    if (room := origin.until_room()) is not None:
                        await room
                last = value
        return last

    # ---- the thread

    async def _call_on_thread(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call something on the thread, which begins with the first call."""
        if self._thread is None:
            try:
                self._thread = self._make_thread()
            except RuntimeError as error:  # the system has no more threads
                raise SessionCreationError(str(error)) from error
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._thread.submit(_call, self._thread.bridge, outcome, function, arguments)
        self._on_thread = True
        try:
            return await outcome
        finally:
            self._on_thread = False
            # Or else the exception that it may hold would keep this frame, and that the exception.
            del outcome

    def emit(self, origin: Origin, frame: Partial) -> None:
        """Send an intermediate observation, from the thread too; see PartialEmitter."""
        if not self._on_thread:
            super().emit(origin, frame)
            if self._is_interrupted:
                raise RequestCancelled("cancelled while it ran")
            return
        assert self._thread is not None
        if self._emitter is None:
            self._emitter = PartialEmitter(self.session, self._thread.bridge)
            if self._is_abandoned:
                self._emitter.abandon()
        self._emitter.emit(origin, frame)


def _call(
    bridge: LoopBridge,
    outcome: asyncio.Future[Any],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """Call something and bring what it comes to back to the event loop; runs on the thread."""
    try:
        value = function(*arguments)
    # Raised again on the event loop, at the session's boundary.
    except BaseException as error:  # noqa: BLE001
        bridge.post(_set_exception, outcome, error)
    else:
        bridge.post(_set_result, outcome, value)


def _set_result(outcome: asyncio.Future[Any], value: object) -> None:
    if not outcome.done():
        outcome.set_result(value)


def _set_exception(outcome: asyncio.Future[Any], error: BaseException) -> None:
    if not outcome.done():
        if isinstance(error, StopIteration):
            # No future holds one.
            error = RuntimeError("the environment raised StopIteration")
        outcome.set_exception(error)
