"""Replies: from what environments take and return to frames, and from what they raise to errors.

Owns the payload codecs of one environment class. Knows nothing of how methods are called
(convention.py) and where (the runners).
"""

from __future__ import annotations

import inspect
import logging
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

from openenv.codec import codec_for
from openenv.errors import (
    EnvironmentFactoryError,
    EnvironmentFault,
    OpenEnvError,
    PayloadError,
    SessionError,
    Unsupported,
)
from openenv.protocol.frames import Error, GetState, Partial, Result, StateReply, Step, Steps
from openenv.protocol.server import error_frame
from openenv.server.runners.queries import EnvironmentQuery, query_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.arrays import Encoding
    from openenv.lifting import Columns
    from openenv.server.runners.bound import BoundEnvironment

logger = logging.getLogger("openenv.server")


class Replies:
    """Of one environment class, which `name` names to clients and in the log."""

    def __init__(
        self,
        name: str,
        action_cls: object,
        observation_cls: object,
        state_cls: object,
        *,
        takes_timeout: bool,
        debug: bool = False,
    ) -> None:
        self.name = name
        self.debug = debug
        self.action = codec_for(action_cls)
        self.observation = codec_for(observation_cls)
        self.state = codec_for(state_cls)
        self._takes_timeout = takes_timeout
        self._lift_by_type: dict[type, Callable[[int, Any], Result]] = {}
        self._lift_columns_by_type: dict[type, Callable[[list[Any]], Columns]] = {}
        self._action_decoders = {
            encoding: self.action.decoder(encoding)
            or partial(self.action.decode, encoding=encoding)
            for encoding in ("msgpack", "json")
        }

    # ---- one step

    def step(self, bound: BoundEnvironment, frame: Step, encoding: Encoding) -> Result:
        """Decode, step and reply in one go, for a step that is nothing but a function call.

        Raises PayloadError before anything has run, and EnvironmentFault.
        """
        try:
            action = self._action_decoders[encoding](frame.action)
        except (ValueError, RecursionError):  # msgspec's, and what text and nesting raise
            action = self.action.decode(frame.action, encoding)
        try:
            if frame.timeout_s is None or not self._takes_timeout:
                observation = bound.step(action)
            else:
                observation = bound.step(action, timeout_s=frame.timeout_s)
        except (Exception, SystemExit) as error:
            raise self.fault(error) from error
        lift = self._lift_by_type.get(type(observation))
        if lift is None:
            return self.result(frame.id, observation)
        try:
            return lift(frame.id, observation)
        except TypeError as error:
            raise self._wrong_type(error) from error

    def step_call(
        self, bound: BoundEnvironment, frame: Step, encoding: Encoding
    ) -> Callable[[], Any]:
        """Return the call of a step that may be async or yield. Raises PayloadError."""
        action = self.action.decode(frame.action, encoding)
        if frame.timeout_s is not None and self._takes_timeout:
            return partial(bound.step, action, timeout_s=frame.timeout_s)
        return partial(bound.step, action)

    # ---- many steps

    def decode_actions(self, frame: Steps, encoding: Encoding) -> list[Any] | None:
        """Return the actions of many steps. None if each needs a look of its own."""
        if frame.timeout_s is not None and self._takes_timeout:
            return None
        return self.action.decode_column(frame.actions, encoding)

    def columns(self, observations: list[Any]) -> Columns | None:
        """Take observations of one class apart; None if one of them is not as it should be."""
        cls = type(observations[0])
        try:
            lift = self._lift_columns_by_type.get(cls)
            if lift is None:
                lift = self.observation.column_lifter(observations[0])
                self._lift_columns_by_type[cls] = lift
            return lift(observations)
        # Lifted singly, the one that is at fault says what is wrong.
        except Exception:  # noqa: BLE001
            return None

    # ---- frames

    def result(self, request_id: int, observation: object) -> Result:
        """Return the reply to reset or step.

        Raises EnvironmentFault for what is no observation of the class.
        """
        try:
            lift = self._lift_by_type.get(type(observation))
            if lift is None:
                _check_is_no_coroutine(observation)
                lift = self.observation.lifter(observation, Result)
                self._lift_by_type[type(observation)] = lift
            return lift(request_id, observation)
        except TypeError as error:
            raise self._wrong_type(error) from error

    def partial(self, frame: Step, observation: object) -> Partial:
        """Return an intermediate observation as a frame."""
        result = self.result(frame.id, observation)
        return Partial(
            result.id,
            result.observation,
            result.reward,
            result.done,
            result.truncated,
            result.metadata,
        )

    def state_reply(self, frame: GetState, state: object) -> StateReply:
        """Return the reply to state, or to what the server itself has asked."""
        if isinstance(frame, EnvironmentQuery):
            try:
                return StateReply(frame.id, query_result(frame, state))
            except Unsupported:
                # Nothing was drawn, which is no fault.
                raise
            except Exception as error:  # what was returned may be anything
                raise self.fault(error) from error
        return StateReply(frame.id, state.model_dump() if hasattr(state, "model_dump") else state)

    # ---- errors

    def error(self, request_id: int, error: BaseException) -> Error:
        """Return what a client is told of an exception that has ended its request."""
        if not isinstance(error, OpenEnvError):
            error = self.fault(error)
        return error_frame(request_id, error)

    def fault(self, error: BaseException) -> OpenEnvError:
        """Log an exception that left the environment; return what a client is told of it.

        That is neither a path nor a traceback, unless `debug` is set.
        """
        logger.warning("%s raised %s: %s", self.name, type(error).__name__, error, exc_info=error)
        if isinstance(error, OpenEnvError) and not isinstance(error, PayloadError | SessionError):
            return error
        return EnvironmentFault(_text(error), type(error).__name__, self._trace(error))

    def factory_fault(self, error: BaseException) -> EnvironmentFactoryError:
        """Log an exception of the constructor; return what a client is told of it."""
        logger.error("%s could not be constructed", self.name, exc_info=error)
        return EnvironmentFactoryError(
            self.name,
            f"{self.name} could not be constructed: {_text(error)}",
            type(error).__name__,
            self._trace(error),
        )

    def _wrong_type(self, error: TypeError) -> EnvironmentFault:
        logger.warning("%s %s", self.name, error)
        return EnvironmentFault(f"{self.name} {error}", type(error).__name__)

    def _trace(self, error: BaseException) -> str | None:
        return "".join(traceback.format_exception(error)) if self.debug else None


def _check_is_no_coroutine(observation: object) -> None:
    """Raise TypeError for what an async function returns that looks like an ordinary one."""
    if inspect.isawaitable(observation):
        if inspect.iscoroutine(observation):
            observation.close()  # nobody will await it
        raise TypeError(
            f"returned a {type(observation).__name__} from what looks like an ordinary function: "
            "its decorator needs functools.wraps, so that the async function behind it is found"
        )


def _text(error: BaseException) -> str:
    return (
        f"the environment called sys.exit({error})"
        if isinstance(error, SystemExit)
        else str(error) or repr(error)
    )
