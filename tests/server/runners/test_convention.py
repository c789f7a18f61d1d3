"""CallingConvention: what is found out about a class, without calling anything."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from openenv.environment import Environment
from openenv.errors import ConfigurationError, PayloadError
from openenv.protocol.frames import Close, GetState, Reset, Step
from openenv.server.runners.convention import CallingConvention, Method, Shape
from openenv.server.runners.queries import EnvironmentQuery


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """An ordinary function around another one, as decorators that trace or count make it."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)

    return call


class Plain(Environment[Any, Any, Any]):
    def reset(self, seed: int | None = None) -> Any: ...
    def step(self, action: Any) -> Any: ...


class Inline(Plain):
    execution = "inline"


class Generator(Plain):
    def step(self, action: Any) -> Any:
        yield


class Async(Plain):
    async def reset(self, seed: int | None = None) -> Any: ...
    async def step(self, action: Any) -> Any: ...


class AsyncGenerator(Async):
    async def step(self, action: Any) -> Any:
        yield


class AsyncStep(Plain):
    async def step(self, action: Any) -> Any: ...


class AsyncReset(Plain):
    async def reset(self, seed: int | None = None) -> Any: ...


class AsyncClose(Plain):
    async def close(self) -> None: ...


class AsyncState(Plain):
    async def state(self) -> Any: ...  # type: ignore[override]


class Traced(Plain):
    @traced
    async def reset(self, seed: int | None = None) -> Any: ...

    @traced
    async def step(self, action: Any) -> Any: ...


class TracedGenerator(Plain):
    @traced
    def step(self, action: Any) -> Any:
        yield


class OrdinaryAsyncNames(Environment[Any, Any, Any]):
    def reset_async(self, seed: int | None = None) -> Any: ...
    def step_async(self, action: Any) -> Any: ...


class AsyncNames(Environment[Any, Any, Any]):
    async def reset_async(self) -> Any: ...
    async def step_async(self, action: Any) -> Any: ...


class Callee:
    async def __call__(self, action: Any) -> Any: ...


class Object(Plain):
    step = Callee()


P, G, C, A = Shape.PLAIN, Shape.GENERATOR, Shape.COROUTINE, Shape.ASYNC_GENERATOR


@pytest.mark.parametrize(
    ("cls", "reset", "step", "execution", "is_plain"),
    [
        (Plain, ("reset", P), ("step", P), "thread", True),
        (Inline, ("reset", P), ("step", P), "inline", True),
        (Generator, ("reset", P), ("step", G), "thread", False),
        (TracedGenerator, ("reset", P), ("step", G), "thread", False),
        (Async, ("reset", C), ("step", C), "await", False),
        (AsyncGenerator, ("reset", C), ("step", A), "await", False),
        (AsyncStep, ("reset", P), ("step", C), "await", False),
        (AsyncReset, ("reset", C), ("step", P), "await", False),
        (AsyncClose, ("reset", P), ("step", P), "await", False),
        (AsyncState, ("reset", P), ("step", P), "await", False),
        (Traced, ("reset", C), ("step", C), "await", False),
        (OrdinaryAsyncNames, ("reset_async", P), ("step_async", P), "thread", True),
        (AsyncNames, ("reset_async", C), ("step_async", C), "await", False),
        (Object, ("reset", P), ("step", C), "await", False),
    ],
)
def test_each_class_is_called_as_it_is_written(
    cls: type, reset: Any, step: Any, execution: str, is_plain: bool
) -> None:
    convention = CallingConvention(cls)
    assert convention.reset == Method(*reset)
    assert convention.step == Method(*step)
    assert convention.execution == execution
    assert convention.is_plain is is_plain
    assert convention.reset_function is getattr(cls, reset[0])


@pytest.mark.parametrize(
    ("cls", "execution", "on_thread"),
    [
        (AsyncStep, None, {"reset"}),
        (AsyncStep, "inline", set()),
        (AsyncReset, None, {"step"}),
        (AsyncClose, None, {"reset", "step"}),
        (AsyncState, None, {"reset", "step"}),
        (Async, None, set()),
        (Traced, None, set()),
    ],
)
def test_ordinary_functions_beside_async_ones_run_on_a_thread(
    cls: type, execution: str | None, on_thread: set[str]
) -> None:
    convention = CallingConvention(cls, execution)
    methods = (convention.reset, convention.step, convention.state, convention.close)
    assert {method.name for method in methods if convention.runs_on_thread(method)} == on_thread
    assert convention.constructs_on_thread is ("reset" in on_thread)


def test_a_property_is_read_where_steps_run() -> None:
    class Both(AsyncStep):
        @property
        def state(self) -> Any: ...

    class Reversed(AsyncReset):
        @property
        def state(self) -> Any: ...

    for cls, is_on_thread in ((Both, False), (Reversed, True)):
        convention = CallingConvention(cls)
        assert convention.runs_on_thread(convention.state) is is_on_thread


def test_each_request_has_its_method() -> None:
    class Drawing(Plain):
        async def render(self) -> Any: ...

    convention = CallingConvention(Drawing)
    assert convention.method_for(Step(1, 1, {})) is convention.step
    assert convention.method_for(Reset(1, 1)) is convention.reset
    assert convention.method_for(GetState(1, 1)) is convention.state
    assert convention.method_for(Close(1, 1)) is convention.close
    assert convention.method_for(EnvironmentQuery(1, 1, "render")) == Method("render", C)


@pytest.mark.parametrize(("cls", "execution"), [(Async, "process"), (Plain, "fibre")])
def test_an_execution_that_a_class_cannot_have_is_refused(cls: type, execution: str) -> None:
    with pytest.raises(ConfigurationError, match=cls.__name__):
        CallingConvention(cls, execution)


def test_what_a_server_is_told_overrides_the_class() -> None:
    assert CallingConvention(Inline, "thread").execution == "thread"
    assert CallingConvention(Plain, "process").execution == "process"


class Choosy(Plain):
    def reset(self, seed: int | None = None, *, level: int = 1) -> Any: ...


class Lax(Plain):
    def reset(self, **options: Any) -> Any: ...


class Foreign:
    def reset(self) -> Any: ...
    def step(self, action: Any) -> Any: ...


@pytest.mark.parametrize(
    ("cls", "frame", "arguments", "dropped"),
    [
        (Choosy, Reset(1, 1, 5, "e", {"level": 2}), {"seed": 5, "level": 2}, []),
        (Lax, Reset(1, 1, 5, "e", {"x": 2}), {"seed": 5, "episode_id": "e", "x": 2}, []),
        (Foreign, Reset(1, 1, 5, "e"), {}, ["seed", "episode_id"]),
        (Foreign, Reset(1, 1), {}, []),
    ],
)
def test_reset_gets_what_it_takes(
    cls: type, frame: Reset, arguments: dict[str, Any], dropped: list[str]
) -> None:
    convention = CallingConvention(cls)
    assert convention.reset_arguments(frame, lenient=False) == arguments
    assert convention.dropped(frame) == dropped


def test_an_option_that_reset_does_not_take_is_refused_or_dropped_by_dialect() -> None:
    convention = CallingConvention(Choosy)
    frame = Reset(1, 1, options={"levle": 2})
    with pytest.raises(PayloadError) as refused:
        convention.reset_arguments(frame, lenient=False)
    assert refused.value.path == ".levle"
    assert "level, seed" in str(refused.value)
    assert convention.reset_arguments(frame, lenient=True) == {}


def test_a_step_says_whether_it_takes_a_timeout() -> None:
    class Patient(Plain):
        def step(self, action: Any, timeout_s: float | None = None) -> Any: ...

    assert CallingConvention(Patient).step_takes_timeout
    assert not CallingConvention(Plain).step_takes_timeout
