"""Actions drawn from a schema are actions of the schema's class."""

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest

from envs.echo_env import EchoAction
from openenv.codec import codec_for
from openenv.errors import ConfigurationError
from openenv.rollout.sampler import ActionSampler


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Tree(msgspec.Struct):
    value: int
    children: list["Tree"]
    parent: "Tree | None" = None


class Everything(msgspec.Struct):
    small: Annotated[int, msgspec.Meta(ge=3, le=7)]
    below: Annotated[int, msgspec.Meta(lt=-20)]
    even: Annotated[int, msgspec.Meta(multiple_of=2, gt=10)]
    above: Annotated[float, msgspec.Meta(gt=3)]
    choice: Literal["x", "y", 3]
    flag: bool
    nothing: None
    long: Annotated[str, msgspec.Meta(min_length=20, max_length=22)]
    pair: tuple[int, str]
    named: dict[str, int]
    many: Annotated[list[int], msgspec.Meta(min_length=5)]
    few: Annotated[list[bool], msgspec.Meta(max_length=1)]
    either: int | str | None
    colour: Colour
    anything: Any


@dataclass
class Observed:
    legal: list[int]


class Inner(pydantic.BaseModel):
    share: float = pydantic.Field(ge=0, lt=1)
    colours: list[Colour]


class Modelled(pydantic.BaseModel):
    inner: Inner
    union: int | Inner
    maybe: Inner | None = None
    short: str = pydantic.Field(max_length=3)
    following: "Modelled | None" = None
    only: int = pydantic.Field(gt=3, le=4)


@dataclass
class Nested:
    action: EchoAction
    others: list[EchoAction]


@pytest.mark.parametrize("cls", [EchoAction, Tree, Everything, Modelled, Nested])
def test_what_is_drawn_is_an_action_of_the_class(cls: type) -> None:
    codec = codec_for(cls)
    policy = ActionSampler(codec.json_schema(), seed=1)
    drawn = [policy({"any": "observation"}) for _ in range(200)]
    for action in drawn:
        codec.convert(action)
    assert any(action != drawn[0] for action in drawn)


def test_the_same_seed_draws_the_same_actions() -> None:
    schema = codec_for(Everything).json_schema()
    one, same, other = (ActionSampler(schema, seed) for seed in (1, 1, 2))
    drawn = [one() for _ in range(10)]
    assert [same() for _ in range(10)] == drawn
    assert [other() for _ in range(10)] != drawn


def test_metadata_is_left_to_its_default() -> None:
    assert set(ActionSampler(codec_for(EchoAction).json_schema())()) == {"message"}


def test_all_of_a_schema_s_parts_hold() -> None:
    schema = {"allOf": [{"type": "integer", "minimum": 5}, {"maximum": 6}]}
    policy = ActionSampler(schema, 0)
    assert {policy() for _ in range(50)} == {5, 6}


@pytest.mark.parametrize(
    ("schema", "drawn"),
    [
        ({"const": 7}, 7),
        ({"type": "null"}, None),
        ({"type": "object"}, {}),
        (True, None),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": "a"}]}, [1, "a"]),
        ({"type": "string", "pattern": "a+", "default": "aa"}, "aa"),
        ({"properties": {"x": {"enum": ["only"]}}}, {"x": "only"}),
    ],
)
def test_what_leaves_no_choice_is_what_it_is(schema: Any, drawn: Any) -> None:
    assert ActionSampler(schema)() == drawn


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "string", "pattern": "a+"}, "strings that match 'a\\+' cannot be drawn"),
        ({"type": "file"}, "actions of type 'file' cannot be drawn"),
        ({"$ref": "#/$defs/Lost"}, "refers to #/\\$defs/Lost, which it lacks"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "no integer fits"),
        ({"type": "array", "minItems": 1, "items": {"$ref": "#"}}, "contain themselves"),
    ],
)
def test_what_cannot_be_drawn_is_said(schema: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        ActionSampler(schema)


def test_what_an_observation_lists_is_what_is_drawn_from() -> None:
    legal = {"among": "legal", "type": "integer", "minimum": 0}
    draw = ActionSampler({"type": "object", "properties": {"move": legal}}, seed=3)
    assert {draw({"legal": [40, 70]})["move"] for _ in range(20)} == {40, 70}
    assert {draw(Observed(legal=[50]))["move"] for _ in range(3)} == {50}
    # Without such a field the schema alone says what may be.
    assert draw({})["move"] < 40


def test_examples_are_what_is_drawn_from() -> None:
    code = {"type": "string", "examples": ["1 + 1", "print(2)"]}
    draw = ActionSampler({"type": "object", "properties": {"code": code}}, seed=3)
    assert {draw()["code"] for _ in range(20)} == {"1 + 1", "print(2)"}
