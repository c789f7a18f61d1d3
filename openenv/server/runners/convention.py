"""CallingConvention: how the methods of one environment class are called, found out once.

Looks at the class only and calls nothing, so it is tested as a table. bound.py applies it to an
instance, the runners beside it obey it.
"""

from __future__ import annotations

import inspect
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from openenv.environment import Environment
from openenv.errors import ConfigurationError, PayloadError
from openenv.protocol.frames import Close, GetState, Reset, Step
from openenv.server.runners.queries import EnvironmentQuery

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.server.ports import Call

EXECUTIONS = ("inline", "thread", "process")
"Where an author, or `openenv serve --execution`, can have the ordinary functions of a class run."


class Shape(Enum):
    """What a call of a method returns."""

    PLAIN = "a value"
    GENERATOR = "a generator of values"
    COROUTINE = "a coroutine"
    ASYNC_GENERATOR = "an async generator of values"


class Method(NamedTuple):
    """One method of a class, and how it is called."""

    name: str
    shape: Shape

    @property
    def is_async(self) -> bool:
        """Whether the method runs on the event loop, wherever the class' other methods run."""
        return self.shape in (Shape.COROUTINE, Shape.ASYNC_GENERATOR)


class Options(NamedTuple):
    """The keyword parameters of a method."""

    names: frozenset[str]
    takes_any: bool
    "Whether it has a `**options` parameter."

    def accepts(self, name: str) -> bool:
        """Whether the method can be called with this keyword."""
        return self.takes_any or name in self.names


class CallingConvention:
    """The methods of one class: names, shapes, options, and where they run."""

    def __init__(self, cls: type, execution: str | None = None) -> None:
        """`execution` is what the server was told; None leaves the class' own."""
        self.cls = cls
        self.step = method_of(cls, "step_async" if overrides(cls, "step_async") else "step")
        self.reset = method_of(cls, "reset_async" if overrides(cls, "reset_async") else "reset")
        self.close = method_of(cls, "close")
        self.state = method_of(cls, "state")
        self.has_async = any(
            method.is_async for method in (self.step, self.reset, self.close, self.state)
        )
        self.execution = self._execution(execution)
        "inline, thread, process; or await, if at least one method is async."
        self.runs_inline = (execution or getattr(cls, "execution", "thread")) == "inline"
        "Whether ordinary functions run on the event loop, also beside async ones."
        self.is_plain = not self.has_async and self.step.shape is Shape.PLAIN
        "Whether a step is nothing but a function call, for which the runners have a shorter way."
        self.is_concurrent = bool(getattr(cls, "SUPPORTS_CONCURRENT_SESSIONS", False))
        self.shares_thread = bool(getattr(cls, "REQUIRES_SINGLE_THREAD_EXECUTOR", False))
        self.knows_episode = issubclass(cls, Environment)
        "Whether instances can be given the episode, for the state that they have by default."
        self.reset_options = options_of(getattr(cls, self.reset.name))
        self.step_takes_timeout = "timeout_s" in options_of(getattr(cls, self.step.name)).names

    @cached_property
    def reset_function(self) -> Callable[..., Any]:
        """The function that begins episodes, whose parameters are the options of reset."""
        function: Callable[..., Any] = getattr(self.cls, self.reset.name)
        return function

    def method_for(self, call: Call) -> Method:
        """Return the method that a request calls."""
        match call:
            case Step():
                return self.step
            case Reset():
                return self.reset
            case EnvironmentQuery():
                return method_of(self.cls, call.method)
            case GetState():
                return self.state
            case Close():
                return self.close

    def runs_on_thread(self, method: Method) -> bool:
        """Whether a class with async methods needs a thread for this one: it may block.

        A property is read where steps run, and so is what every environment inherits: neither is
        worth a thread.
        """
        if method.is_async or self.runs_inline or not overrides(self.cls, method.name):
            return False
        is_property = isinstance(inspect.getattr_static(self.cls, method.name), property)
        return not (is_property and self.step.is_async)

    @cached_property
    def constructs_on_thread(self) -> bool:
        """Whether instances are made on a thread: where `reset` runs.

        A class whose `reset` is async may need the running event loop in its constructor.
        """
        return self.runs_on_thread(self.reset)

    def reset_arguments(self, frame: Reset, *, lenient: bool) -> dict[str, Any]:
        """Return the arguments of reset; what it does not take is left out if `lenient`.

        Seed and episode_id are always left out where reset does not take them (`dropped`). Raises
        PayloadError for another option that it does not take.
        """
        accepts = self.reset_options.accepts
        given = {"seed": frame.seed, "episode_id": frame.episode_id}
        arguments = {
            name: value for name, value in given.items() if value is not None and accepts(name)
        }
        for name, value in (frame.options or {}).items():
            if accepts(name):
                arguments[name] = value
            elif not lenient:
                known = ", ".join(sorted(self.reset_options.names)) or "none"
                raise PayloadError(
                    f"{self.cls.__name__}.reset has no option {name!r}; it has: {known}",
                    path=f".{name}",
                )
        return arguments

    def dropped(self, frame: Reset) -> list[str]:
        """Return which of seed and episode_id a client has sent and nobody takes."""
        accepts = self.reset_options.accepts
        names = []
        if frame.seed is not None and not accepts("seed"):
            names.append("seed")
        # `Environment.state` has the episode's id, whatever reset takes.
        if frame.episode_id is not None and not (self.knows_episode or accepts("episode_id")):
            names.append("episode_id")
        return names

    def _execution(self, given: str | None) -> str:
        own: str = getattr(self.cls, "execution", "thread")
        name = self.cls.__name__
        if self.has_async:
            if "process" in (given, own):
                raise ConfigurationError(
                    f"{name} has async methods, which run on the server's event loop and not in "
                    "worker processes: make them ordinary functions, or leave execution and "
                    "workers out"
                )
            return "await"
        execution = given or own
        if execution not in EXECUTIONS:
            raise ConfigurationError(
                f"{name}.execution is {execution!r}: set it to 'inline', 'thread' or 'process'"
            )
        return execution


def method_of(cls: type, name: str) -> Method:
    """Return a method of a class, which may be a property or missing."""
    member = inspect.getattr_static(cls, name, None)
    if isinstance(member, property):
        return Method(name, Shape.PLAIN)
    return Method(name, shape_of(getattr(cls, name, None)))


def shape_of(function: Any) -> Shape:
    """Return what calling a function returns, also behind decorators that use functools.wraps."""
    # Of an object that is used as a method.
    called = type(function).__call__ if callable(function) else None
    for candidate in (function, inspect.unwrap(function), called):
        if inspect.iscoroutinefunction(candidate):
            return Shape.COROUTINE
        if inspect.isasyncgenfunction(candidate):
            return Shape.ASYNC_GENERATOR
        if inspect.isgeneratorfunction(candidate):
            return Shape.GENERATOR
    return Shape.PLAIN


def options_of(method: Callable[..., Any]) -> Options:
    """Return the keyword parameters of a method, without self."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = frozenset(parameter.name for parameter in parameters if parameter.kind in named)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    return Options(names, takes_any)


def overrides(cls: type, name: str) -> bool:
    """Whether a class has its own version of what Environment has, or has not."""
    own = inspect.getattr_static(cls, name, None)
    return own is not None and own is not inspect.getattr_static(Environment, name, None)
