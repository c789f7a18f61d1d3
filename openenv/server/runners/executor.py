"""RequestExecutor: from a request to its reply, by calls of one environment.

Owns the environment from construction to close. Knows nothing of sessions, of order, and of the
thread on which it is called.
"""

from __future__ import annotations

import inspect
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from openenv.errors import OpenEnvError, RequestCancelled
from openenv.protocol.frames import Close, Closed, GetState, Open, Opened, Partial, Reset, Step
from openenv.protocol.server import error_frame
from openenv.server.runners.queries import EnvironmentQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from openenv.environment import RunningEpisode
    from openenv.protocol.frames import Request
    from openenv.server.ports import Call, Origin, Reply
    from openenv.server.runners.bound import BoundEnvironment
    from openenv.server.runners.spec import EnvironmentSpec


class RequestExecutor:
    """The base of all runners, and of what a worker process has for each session."""

    __slots__ = ("_is_plain", "_replies", "bound", "spec")

    def __init__(self, spec: EnvironmentSpec) -> None:
        self.spec = spec
        self.bound: BoundEnvironment | None = None
        self._replies = spec.replies
        self._is_plain = spec.convention.is_plain

    @property
    def episode(self) -> RunningEpisode:
        """The episode that the last reset began."""
        assert self.bound is not None
        return self.bound.episode

    def perform(self, frame: Request, origin: Origin) -> Reply:
        """Run a request to its reply, without ever waiting for the event loop. Raises nothing."""
        try:
            if type(frame) is Step and self._is_plain:
                bound = self.bound
                reply = self._replies.step(bound, frame, origin.encoding)  # type: ignore[arg-type]
                bound.episode.step_count += 1  # type: ignore[union-attr]  # there is one: Open was
                return reply
            return self._perform(frame, origin)
        except OpenEnvError as error:
            return error_frame(frame.id, error)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        # The session's boundary: whatever an environment raises, its client is told. That may be a
        # bare BaseException: the panics of extension modules are.
        except BaseException as error:  # noqa: BLE001 - logged by `error`
            return self._replies.error(frame.id, error)

    def emit(self, origin: Origin, frame: Partial) -> None:
        """Send an intermediate observation."""
        raise NotImplementedError

    def _perform(self, frame: Request, origin: Origin) -> Reply:
        if self.bound is None and not isinstance(frame, Close):
            # For Open; and for the reset after a call that hung, whose environment was left behind
            # with its thread.
            self.bound = self.spec.construct()
        if isinstance(frame, Open):
            return self._opened(frame)
        outcome = self._outcome(frame, origin, self._prepare(frame, origin))
        return self._reply(frame, outcome)

    def _opened(self, frame: Open) -> Opened:
        """Return the reply to open."""
        raise NotImplementedError

    def _prepare(self, frame: Call, origin: Origin) -> Callable[[], Any]:
        """Return the call that a request asks for. Raises PayloadError before anything has run."""
        bound, convention = self.bound, self.spec.convention
        if bound is None:
            return _nothing
        match frame:
            case Step():
                return self._replies.step_call(bound, frame, origin.encoding)
            case Reset():
                arguments = convention.reset_arguments(frame, lenient=origin.is_lenient)
                self.spec.warn_of_dropped(convention.dropped(frame))
                bound.begin_episode(self._episode_id(frame))
                return partial(bound.reset, **arguments)
            case EnvironmentQuery():
                return partial(getattr(bound.environment, frame.method), *frame.arguments)
            case GetState():
                return bound.read_state
            case Close():
                return bound.close

    def _episode_id(self, frame: Reset) -> str | None:
        """Return the id of the episode to begin; None for one of its own."""
        return frame.episode_id

    def _outcome(self, frame: Call, origin: Origin, call: Callable[[], Any]) -> object:
        """Return what a call comes to. Raises what a client is told of an exception."""
        try:
            outcome = call()
            if inspect.isgenerator(outcome):
                outcome = self._exhaust(frame, origin, outcome)
        except RequestCancelled:  # by `emit`: not the environment's
            raise
        except (Exception, SystemExit) as error:
            raise self._replies.fault(error) from error
        return outcome

    def _exhaust(self, frame: Call, origin: Origin, values: Generator[Any, Any, Any]) -> object:
        last: object = None
        with closing(values):
            for value in values:
                if last is not None and isinstance(frame, Step) and frame.stream:
                    self.emit(origin, self._replies.partial(frame, last))
                last = value
        return last

    def _reply(self, frame: Call, outcome: object) -> Reply:
        match frame:
            case Close():
                return Closed(frame.id, frame.session, "closed")
            case GetState():
                return self._replies.state_reply(frame, outcome)
        result = self._replies.result(frame.id, outcome)
        if isinstance(frame, Step):
            self.episode.step_count += 1
        return result


def _nothing() -> None:
    """Close an environment that was never constructed."""
