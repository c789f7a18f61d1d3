"""Runners: each calls one environment: on the event loop, at once or in a task.

Owns the instance from construction to close. Knows nothing of queues and order: session.py starts
one request at a time and is told when it has settled. What a call looks like is calls.py's affair.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import aclosing, closing
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from openenv.errors import OpenEnvError, RequestCancelled, to_wire
from openenv.protocol.frames import (
    Close,
    Closed,
    Error,
    GetState,
    Open,
    Opened,
    Partial,
    Reset,
    Step,
)
from openenv.server.runners.queries import EnvironmentQuery

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from openenv.arrays import Encoding
    from openenv.server.runners.calls import EnvironmentCalls
    from openenv.server.sessions.session import Session

logger = logging.getLogger("openenv.server")


class Origin(Protocol):
    """Who asked: how its payloads are encoded, and where its reply goes."""

    @property
    def encoding(self) -> Encoding:
        """How its payloads are encoded."""

    is_lenient: bool
    "Whether it speaks a dialect that allows step before reset and drops unknown options of reset."

    def reply(self, frame: Any) -> None:
        """Take a frame for the peer; called on the event loop."""

    def until_room(self) -> asyncio.Future[None] | None:
        """Return what is done when more partial observations may be sent; None if they may now."""


class _Nobody:
    encoding = "msgpack"
    is_lenient = False

    def reply(self, frame: Any) -> None:
        """Drop the reply."""

    def until_room(self) -> None:
        """There always is."""


NOBODY: Any = _Nobody()
"The origin of requests that the server makes of its own accord."


def error_frame(request_id: int, error: OpenEnvError) -> Error:
    """Return the one translation of an exception to the wire."""
    return Error(request_id, *to_wire(error))


def refusal(frame: Any, error: OpenEnvError) -> Any:
    """Return the reply to a request of a session that ends: what wanted to close it has its way."""
    if type(frame) is Close:
        return Closed(frame.id, frame.session)
    return error_frame(frame.id, error)


def show(session: Session, origin: Origin, partial: Partial) -> None:
    """Send an intermediate observation; on the event loop."""
    if session.view is not None:
        session.view.take_partial(partial, origin.encoding)
    origin.reply(partial)


class Runner:
    """Calls one environment on the event loop, at once.

    The base of the two that call it elsewhere.
    """

    __slots__ = ("calls", "environment", "session")

    can_wait = False
    "Whether calls may wait for the event loop."

    @property
    def can_abandon(self) -> bool:
        """Whether a running call can be left behind, with its environment."""
        return False

    def __init__(self, calls: EnvironmentCalls, session: Session) -> None:
        self.calls = calls
        self.session = session
        self.environment: Any = None

    def start(self, frame: Any, origin: Origin) -> None:
        """Run a request; the session's `settle` gets the reply, here before this returns."""
        self.session.settle(self, frame, origin, self.perform(frame, origin))

    def interrupt(self) -> bool:
        """Ask the running call to end early; False if it cannot be. It settles in either case."""
        return False

    def abandon(self) -> None:
        """Leave the running call behind; its environment is closed should the call ever end."""

    def release(self) -> None:
        """Free what the runner holds, once its environment is closed."""

    def perform(self, frame: Any, origin: Origin) -> Any:
        """Run a request to its reply frame, without ever waiting for the event loop.

        Raises nothing.
        """
        try:
            if type(frame) is Step and self.calls.is_plain:
                return self.calls.step_plainly(self.environment, frame, origin.encoding)
            # A class without async methods never suspends: one send runs the coroutine to its end.
            self._perform(frame, origin).send(None)
        except StopIteration as end:
            return end.value
        except OpenEnvError as error:
            return error_frame(frame.id, error)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        # The session's boundary: whatever an environment raises, its client is told. That may be a
        # bare BaseException: the panics of extension modules are.
        except BaseException as error:  # noqa: BLE001 - logged by calls.fault
            return error_frame(frame.id, self.calls.fault(error))
        return error_frame(
            frame.id, OpenEnvError("a synchronous environment waited for the event loop")
        )

    def emit(self, origin: Origin, frame: Partial) -> None:
        """Send an intermediate observation."""
        show(self.session, origin, frame)

    async def _perform(self, frame: Any, origin: Origin) -> Any:
        calls, kind = self.calls, type(frame)
        if self.environment is None and kind is not Close:
            # On open; and on the reset after a call that hung, whose instance was left behind with
            # its thread.
            self.environment = calls.construct()
            self.session.adopt(self.environment)
        if kind is Open:
            return Opened(frame.id, self.session.token)
        call = self._prepare(frame, origin)
        try:
            outcome = call()
            if inspect.isasyncgen(outcome):
                outcome = await self._follow(frame, origin, outcome)
            elif inspect.isawaitable(outcome):
                outcome = await outcome
            if inspect.isgenerator(outcome):
                outcome = self._exhaust(frame, origin, outcome)
        except RequestCancelled:  # by `emit`: not the environment's
            raise
        except (Exception, SystemExit) as error:
            raise self.calls.fault(error) from error
        if kind is Close:
            return Closed(frame.id, frame.session, "closed")
        if isinstance(frame, GetState):
            return calls.state_reply(frame, outcome)
        return calls.result(frame.id, outcome)

    def _prepare(self, frame: Any, origin: Origin) -> Callable[[], Any]:
        """Return the call that a frame asks for. Raises PayloadError before anything has run."""
        calls, environment, kind = self.calls, self.environment, type(frame)
        if kind is Step:
            return partial(
                calls.step,
                environment,
                calls.action.decode(frame.action, origin.encoding),
                frame.timeout_s,
            )
        if kind is Reset:
            return partial(
                calls.reset, environment, calls.reset_arguments(frame, lenient=origin.is_lenient)
            )
        if kind is GetState:
            return partial(calls.read_state, environment)
        if kind is EnvironmentQuery:
            return partial(getattr(environment, frame.method), *frame.arguments)
        return partial(calls.close, environment) if environment is not None else _nothing

    async def _follow(self, frame: Step, origin: Origin, values: AsyncGenerator[Any, Any]) -> Any:
        last: Any = None
        # Closed before the next call, also where this one is cancelled while it waits for room.
        async with aclosing(values):
            async for value in values:
                if last is not None and frame.stream:
                    self.emit(origin, self.calls.partial(frame, last))
                    if (room := origin.until_room()) is not None and self.can_wait:
                        await room
                last = value
        return last

    def _exhaust(self, frame: Step, origin: Origin, values: Generator[Any, Any, Any]) -> Any:
        last: Any = None
        with closing(values):
            for value in values:
                if last is not None and frame.stream:
                    self.emit(origin, self.calls.partial(frame, last))
                last = value
        return last


def _nothing() -> None:
    """Close an environment that was never constructed."""


class TaskRunner(Runner):
    """Calls an environment with async methods, in a task that lives only while requests wait."""

    __slots__ = ("_is_abandoned", "_is_interrupted", "_task")

    can_wait = True

    @property
    def can_abandon(self) -> bool:
        """Only a shared instance cannot: there is no other to go on with."""
        return not self.calls.is_shared

    def __init__(self, calls: EnvironmentCalls, session: Session) -> None:
        super().__init__(calls, session)
        self._task: asyncio.Task[Any] | None = None
        "The one that runs a call, from when it has begun."
        self._is_interrupted = False
        self._is_abandoned = False

    def start(self, frame: Any, origin: Origin) -> None:
        """Run a request in a task of the registry's group."""
        self._task, self._is_interrupted = None, False
        self.session.registry.spawn(self._run, frame, origin)

    def interrupt(self) -> bool:
        """Cancel the running call; it settles when it has unwound.

        Once, as asyncio does: a scope of anyio would cancel what the call awaits to clean up, too.
        """
        self._is_interrupted = True
        if self._task is not None:
            self._task.cancel()
        return True

    def abandon(self) -> None:
        """Leave a call behind that does not end although it was cancelled."""
        self._is_abandoned = True
        self.interrupt()

    async def _run(self, frame: Any, origin: Origin) -> None:
        self._task = asyncio.current_task()
        if self._is_interrupted:
            reply = error_frame(frame.id, RequestCancelled("cancelled before it ran"))
        else:
            reply = await self._perform_async(frame, origin)
        self._task = None
        if not self._is_abandoned:
            self.session.settle(self, frame, origin, reply)
        elif self.environment is not None and type(frame) is not Close:
            await self._perform_async(Close(0, 0), origin)

    async def _perform_async(self, frame: Any, origin: Origin) -> Any:
        """Run a request to its reply frame. Raises nothing."""
        try:
            return await self._perform(frame, origin)
        except OpenEnvError as error:
            return error_frame(frame.id, error)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the boundary, as above
            if isinstance(error, asyncio.CancelledError) and self._is_interrupted:
                return error_frame(frame.id, RequestCancelled("cancelled while it ran"))
            return error_frame(frame.id, self.calls.fault(error))
