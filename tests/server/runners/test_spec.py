"""EnvironmentSpec: making environments, and what they say of themselves."""

from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from openenv.environment import Environment
from openenv.errors import EnvironmentFactoryError
from openenv.models import EnvironmentInfo, State
from openenv.server.runners.spec import EnvironmentSpec

T = TypeVar("T")


@dataclass
class Move:
    x: int


@dataclass
class Seen:
    y: int


@dataclass
class Board(State):
    size: int = 3


class Typed(Environment[Move, Seen, Board]):
    def reset(self) -> Seen: ...
    def step(self, action: Move) -> Seen: ...


class Derived(Typed):
    pass


class Untyped(Environment[Any, Any, Any]):
    def reset(self) -> Any: ...
    def step(self, action: Any) -> Any: ...


class Half(Environment[Move, T, Any]):
    def reset(self) -> Any: ...
    def step(self, action: Move) -> Any: ...


class Foreign:
    def reset(self) -> Any: ...
    def step(self, action: Any) -> Any: ...


def classes_of(spec: EnvironmentSpec) -> tuple[Any, Any, Any]:
    replies = spec.replies
    return replies.action.cls, replies.observation.cls, replies.state.cls


# ---- payload classes


@pytest.mark.parametrize(
    ("cls", "given", "classes"),
    [
        (Typed, (), (Move, Seen, Board)),
        (Derived, (), (Move, Seen, Board)),
        (Untyped, (), (dict, Any, State)),
        (Half, (), (Move, Any, State)),
        (Foreign, (), (dict, Any, State)),
        (Typed, (Board, Move, Seen), (Board, Move, Seen)),
        (Typed, (None, Move, None), (Move, Move, Board)),
    ],
)
def test_payload_classes_come_from_the_arguments_or_else_from_the_class(
    cls: type, given: Any, classes: tuple[Any, Any, Any]
) -> None:
    assert classes_of(EnvironmentSpec(cls, cls, *given)) == classes


class PropertyState(Untyped):
    @property
    def state(self) -> Board: ...


class MethodState(Untyped):
    def state(self) -> Board: ...  # type: ignore[override]


class UnknownState(Untyped):
    @property
    def state(self) -> "Missing": ...  # type: ignore[name-defined]  # noqa: F821


class SilentState(Untyped):
    @property
    def state(self): ...  # type: ignore[no-untyped-def]


class UnionState(Untyped):
    @property
    def state(self) -> Move | Seen: ...


class FieldState(Untyped):
    state = {"size": 3}  # type: ignore[assignment]  # noqa: RUF012


@pytest.mark.parametrize(
    ("cls", "state_cls"),
    [
        (Untyped, State),
        (PropertyState, Board),
        (MethodState, Board),
        (UnknownState, Any),
        (SilentState, Any),
        (UnionState, Any),
        (FieldState, Any),
    ],
)
def test_the_class_of_the_state_is_what_its_annotation_says(cls: type, state_cls: Any) -> None:
    assert EnvironmentSpec(cls, cls).replies.state.cls is state_cls


# ---- instances


def test_a_spec_is_named_after_the_class_or_as_it_is_told() -> None:
    assert EnvironmentSpec(Typed, Typed()).name == "Typed"
    assert EnvironmentSpec(Typed, Typed, name="mine").name == "mine"


@pytest.mark.parametrize("error", [ValueError("as asked"), SystemExit(3)])
def test_a_factory_that_fails_is_named_with_what_it_raised(error: BaseException) -> None:
    def make() -> Any:
        raise error

    spec = EnvironmentSpec(make, Untyped, name="mine")
    with pytest.raises(EnvironmentFactoryError) as raised:
        spec.construct()
    assert raised.value.remote_type == type(error).__name__
    assert raised.value.__cause__ is error


class Closing(Untyped):
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class ClosingAsync(Closing):
    async def close(self) -> None:  # type: ignore[override]
        self.closed += 1


@pytest.mark.parametrize("cls", [Closing, ClosingAsync])
async def test_a_shared_instance_is_closed_with_the_server_only(cls: type[Closing]) -> None:
    environment = cls()
    spec = EnvironmentSpec(lambda: environment, environment, is_shared=True)
    assert spec.construct().close() is None
    assert environment.closed == 0
    await spec.close_shared()
    assert environment.closed == 1


async def test_nothing_is_made_to_be_closed_with_the_server() -> None:
    def make() -> Any:
        raise AssertionError

    await EnvironmentSpec(make, Closing).close_shared()


async def test_a_shared_instance_that_cannot_be_closed_is_left_alone() -> None:
    foreign = Foreign()
    await EnvironmentSpec(lambda: foreign, foreign, is_shared=True).close_shared()


def test_each_dropped_argument_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    spec = EnvironmentSpec(Untyped, Untyped)
    spec.warn_of_dropped(["seed"])
    spec.warn_of_dropped(["seed", "episode_id"])
    assert [record.args[1] for record in caplog.records if record.args] == ["seed", "episode_id"]


# ---- what it says of itself


class Described(Untyped):
    told: Any = EnvironmentInfo(name="told", description="by the instance", version="7")

    def get_metadata(self) -> Any:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {"name": "told", "description": "by pydantic"}


def described(told: Any) -> EnvironmentSpec:
    cls = type("Described", (Described,), {"told": told})
    return EnvironmentSpec(cls, cls)


def test_a_class_that_says_nothing_of_itself_needs_no_instance() -> None:
    info = EnvironmentSpec(Untyped, Untyped, name="mine").info
    assert info is not None
    assert info.name == "mine"


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (Described.told, "told"),
        ({"name": "told", "description": "by a dict"}, "told"),
        (Model(), "told"),
        (ValueError("as asked"), "Described"),
        ({"name": 5}, "Described"),
        (None, "Described"),
    ],
)
def test_the_first_instance_is_asked_what_it_is(told: Any, name: str) -> None:
    spec = described(told)
    assert spec.info is None
    spec.construct()
    assert spec.info is not None
    assert spec.info.name == name


def test_only_the_first_instance_is_asked() -> None:
    spec = described(Described.told)
    spec.construct()
    spec.cls.told = EnvironmentInfo(name="changed", description="")
    spec.construct()
    assert spec.info is Described.told


def test_what_another_process_has_heard_can_be_remembered() -> None:
    spec = described(ValueError("never asked"))
    spec.info = Described.told
    spec.construct()
    assert spec.info is Described.told
