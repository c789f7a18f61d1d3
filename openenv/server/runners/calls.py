"""EnvironmentCalls: how to call the environments of one class, decided once.

Owns signatures (which options reset takes, whether step wants timeout_s), payload codecs, and the
way from a frame to a method call and from what it returns to a frame. Knows nothing of threads or
tasks (runner.py) or of order (session.py).
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import msgspec

from openenv.codec import codec_for
from openenv.environment import Environment
from openenv.errors import (
    ConfigurationError,
    EnvironmentFactoryError,
    EnvironmentFault,
    OpenEnvError,
    PayloadError,
    SessionError,
    Unsupported,
)
from openenv.models import EnvironmentInfo, State
from openenv.protocol.frames import GetState, Partial, Reset, Result, StateReply, Step, Steps
from openenv.server.runners.queries import EnvironmentQuery, answer

if TYPE_CHECKING:
    from openenv.arrays import Encoding
    from openenv.lifting import Columns

logger = logging.getLogger("openenv.server")

Factory = Callable[[], Any]


class EnvironmentCalls:
    """The environments that one server serves: factory, payload classes and calling conventions."""

    def __init__(
        self,
        factory: Factory,
        sample: Any,
        action_cls: Any = None,
        observation_cls: Any = None,
        state_cls: Any = None,
        *,
        debug: bool = False,
        execution: str | None = None,
        is_shared: bool = False,
    ) -> None:
        self.factory = factory
        self.debug = debug
        self.is_shared = is_shared
        "Whether there is one instance, which outlives its sessions and is closed with the server."
        cls = self.cls = sample if isinstance(sample, type) else type(sample)
        self.name = cls.__name__
        generic_action, generic_observation, generic_state = _type_arguments(cls)
        self.action = codec_for(action_cls or generic_action or dict)
        self.observation = codec_for(observation_cls or generic_observation or Any)
        self.state = codec_for(state_cls or generic_state or _own_state_class(cls))
        self._reset_name = "reset_async" if _overrides(cls, "reset_async") else "reset"
        self._step_name = "step_async" if _overrides(cls, "step_async") else "step"
        step, reset = getattr(cls, self._step_name), getattr(cls, self._reset_name)
        self.is_async = any(
            inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
            for method in (step, reset, getattr(cls, "close", None), getattr(cls, "state", None))
        )
        own: str = getattr(cls, "execution", "thread")
        self.execution = "await" if self.is_async else execution or own
        if self.is_async and "process" in (execution, own):
            raise ConfigurationError(
                f"{self.name} has async methods, which run on the server's event loop and not in "
                "worker processes: make them ordinary functions, or leave execution and workers out"
            )
        if self.execution not in ("inline", "thread", "process", "await"):
            raise ConfigurationError(
                f"{self.name}.execution is {self.execution!r}: set it to 'inline', 'thread' or "
                "'process'"
            )
        self.is_plain = not self.is_async and not inspect.isgeneratorfunction(step)
        "Whether step is an ordinary function, for which the runner has a shorter way."
        self.counts_episodes = isinstance(sample, Environment) or (
            isinstance(sample, type) and issubclass(sample, Environment)
        )
        "Whether instances can be given the session's counters, for the state they have by default."
        self.is_concurrent = bool(getattr(cls, "SUPPORTS_CONCURRENT_SESSIONS", False))
        self.shares_thread = bool(getattr(cls, "REQUIRES_SINGLE_THREAD_EXECUTOR", False))
        self._reset_accepts = _accepts(reset)
        self._step_takes_timeout = "timeout_s" in _accepts(step).names
        self._lift_by_type: dict[type, Callable[[int, Any], Result]] = {}
        self._lift_columns_by_type: dict[type, Callable[[list[Any]], Columns]] = {}
        self._action_decoders = {
            encoding: self.action.decoder(encoding)
            or partial(self.action.decode, encoding=encoding)
            for encoding in ("msgpack", "json")
        }
        self._info: EnvironmentInfo | None = None
        self._warned: set[str] = set()

    @property
    def reset_method(self) -> Any:
        """The function that begins episodes, whose parameters are the options of reset."""
        return getattr(self.cls, self._reset_name)

    # ---- calls: each returns what the method returned, which may be awaitable

    def construct(self) -> Any:
        """Make an environment. Raises EnvironmentFactoryError."""
        try:
            environment = self.factory()
        except (Exception, SystemExit) as error:
            logger.exception("%s could not be constructed", self.name)
            raise EnvironmentFactoryError(
                self.name,
                f"{self.name} could not be constructed: {_text(error)}",
                type(error).__name__,
                self._trace(error),
            ) from error
        if self.info is None:
            self._info = self._read_info(environment)
        return environment

    def reset(self, environment: Any, arguments: dict[str, Any]) -> Any:
        """Call reset with what `reset_arguments` made of a frame."""
        return getattr(environment, self._reset_name)(**arguments)

    def step(self, environment: Any, action: Any, timeout_s: float | None) -> Any:
        """Call step."""
        if timeout_s is not None and self._step_takes_timeout:
            return getattr(environment, self._step_name)(action, timeout_s=timeout_s)
        return getattr(environment, self._step_name)(action)

    def read_state(self, environment: Any) -> Any:
        """Return the state, whether it is a property or a method."""
        state = environment.state
        return state() if callable(state) else state

    def close(self, environment: Any) -> Any:
        """Call close, if there is one; a shared instance outlives its sessions (`close_shared`)."""
        close = getattr(environment, "close", None)
        return close() if callable(close) and not self.is_shared else None

    async def close_shared(self) -> None:
        """Close the shared instance, with the server."""
        close = getattr(self.factory(), "close", None) if self.is_shared else None
        outcome = close() if callable(close) else None
        if inspect.isawaitable(outcome):
            await outcome

    # ---- replies

    def step_plainly(self, environment: Any, frame: Step, encoding: Encoding) -> Result:
        """Decode, step and reply in one go: the way of an ordinary `step` function.

        Raises PayloadError before anything has run, and EnvironmentFault.
        """
        try:
            action = self._action_decoders[encoding](frame.action)
        except (ValueError, RecursionError):  # msgspec's, and what text and nesting raise
            action = self.action.decode(frame.action, encoding)
        try:
            if frame.timeout_s is None or not self._step_takes_timeout:
                observation = environment.step(action)
            else:
                observation = environment.step(action, timeout_s=frame.timeout_s)
        except (Exception, SystemExit) as error:
            raise self.fault(error) from error
        lift = self._lift_by_type.get(type(observation))
        if lift is None:
            return self.result(frame.id, observation)
        try:
            return lift(frame.id, observation)
        except TypeError as error:
            raise self._wrong_type(error) from error

    def result(self, request_id: int, observation: Any) -> Result:
        """Return the reply to reset or step.

        Raises EnvironmentFault for what is no observation of the class.
        """
        try:
            lift = self._lift_by_type.get(type(observation))
            if lift is None:
                lift = self.observation.lifter(observation, Result)
                self._lift_by_type[type(observation)] = lift
            return lift(request_id, observation)
        except TypeError as error:
            raise self._wrong_type(error) from error

    def decode_actions(self, frame: Steps, encoding: Encoding) -> list[Any] | None:
        """Return the actions of many steps that an ordinary `step` can take one after the other.

        None if each needs a look of its own.
        """
        if not self.is_plain or (frame.timeout_s is not None and self._step_takes_timeout):
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

    def partial(self, frame: Step, observation: Any) -> Partial:
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

    def state_reply(self, frame: GetState, state: Any) -> StateReply:
        """Return the reply to state, or to what the server itself has asked."""
        if type(frame) is EnvironmentQuery:
            try:
                return StateReply(frame.id, answer(frame, state))
            except Unsupported:
                # Nothing was drawn, which is no fault.
                raise
            except Exception as error:  # what was returned may be anything
                raise self.fault(error) from error
        return StateReply(frame.id, state.model_dump() if hasattr(state, "model_dump") else state)

    def fault(self, error: BaseException) -> OpenEnvError:
        """Log an exception that left the environment; return what a client is told of it.

        That is neither a path nor a traceback, unless `debug` is set.
        """
        logger.warning("%s raised %s: %s", self.name, type(error).__name__, error, exc_info=error)
        if isinstance(error, OpenEnvError) and not isinstance(error, PayloadError | SessionError):
            return error
        return EnvironmentFault(_text(error), type(error).__name__, self._trace(error))

    @property
    def info(self) -> EnvironmentInfo | None:
        """What the environment says of itself; None until there was an instance to ask."""
        if self._info is None and not _overrides(self.cls, "get_metadata"):
            self._info = EnvironmentInfo(name=self.name, description=f"{self.name} environment")
        return self._info

    @info.setter
    def info(self, info: EnvironmentInfo) -> None:
        """Remember what an environment in another process has said."""
        self._info = info

    def _read_info(self, environment: Any) -> EnvironmentInfo:
        try:
            metadata = environment.get_metadata()
            if isinstance(metadata, EnvironmentInfo):
                return metadata
            data = metadata.model_dump() if hasattr(metadata, "model_dump") else metadata
            return msgspec.convert(data, EnvironmentInfo)
        except (Exception, SystemExit):  # as elsewhere: whatever an environment does
            # Its episodes do not depend on this.
            logger.exception("%s.get_metadata failed", self.name)
            return EnvironmentInfo(name=self.name, description=f"{self.name} environment")

    def _wrong_type(self, error: TypeError) -> EnvironmentFault:
        logger.warning("%s %s", self.name, error)
        return EnvironmentFault(f"{self.name} {error}", type(error).__name__)

    # ---- how

    def reset_arguments(self, frame: Reset, *, lenient: bool) -> dict[str, Any]:
        """Return the arguments of reset.

        An option it does not take raises PayloadError, or is dropped if `lenient`.
        """
        accepts = self._reset_accepts
        arguments: dict[str, Any] = {}
        for name, value in (("seed", frame.seed), ("episode_id", frame.episode_id)):
            if value is None:
                continue
            if accepts.takes(name):
                arguments[name] = value
            elif name == "episode_id" and self.counts_episodes:
                # The session keeps it for the state.
                continue
            elif name not in self._warned:
                self._warned.add(name)
                logger.warning(
                    "%s.reset takes no %s: the one that clients send is dropped", self.name, name
                )
        for name, value in (frame.options or {}).items():
            if accepts.takes(name):
                arguments[name] = value
            elif not lenient:
                known = ", ".join(sorted(accepts.names)) or "none"
                raise PayloadError(
                    f"{self.name}.reset has no option {name!r}; it has: {known}", path=f".{name}"
                )
        return arguments

    def _trace(self, error: BaseException) -> str | None:
        return "".join(traceback.format_exception(error)) if self.debug else None


class _Accepts:
    def __init__(self, names: frozenset[str], anything: bool) -> None:
        self.names = names
        self.anything = anything

    def takes(self, name: str) -> bool:
        return self.anything or name in self.names


def _accepts(method: Callable[..., Any]) -> _Accepts:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = frozenset(parameter.name for parameter in parameters if parameter.kind in named)
    anything = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    return _Accepts(names, anything)


def _overrides(cls: type, name: str) -> bool:
    own = inspect.getattr_static(cls, name, None)
    return own is not None and own is not inspect.getattr_static(Environment, name, None)


def _own_state_class(cls: type) -> Any:
    """Return the class in the return annotation of `state`; Any where that says nothing useful."""
    if not _overrides(cls, "state"):
        return State
    member = inspect.getattr_static(cls, "state")
    function = member.fget if isinstance(member, property) else member
    try:
        returned = get_type_hints(function).get("return")
        codec_for(returned)
    except (NameError, TypeError, AttributeError, ConfigurationError):
        return Any
    return returned if isinstance(returned, type) else Any


def _type_arguments(cls: type) -> tuple[Any, Any, Any]:
    """Return the classes in `Environment[A, O, S]` of the nearest base that names them."""
    for base in (base for klass in cls.__mro__ for base in getattr(klass, "__orig_bases__", ())):
        if get_origin(base) is Environment:
            # Any, which is a class too, is the default of what was not named.
            arguments = [
                argument if isinstance(argument, type) and argument is not Any else None
                for argument in get_args(base)
            ]
            return (*arguments, None, None, None)[:3]  # type: ignore[return-value]
    return None, None, None


def _text(error: BaseException) -> str:
    return (
        f"the environment called sys.exit({error})"
        if isinstance(error, SystemExit)
        else str(error) or repr(error)
    )
