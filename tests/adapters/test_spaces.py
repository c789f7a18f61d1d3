"""Spaces: a sample of each travels in both encodings and is one again."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from openenv.adapters.spaces import annotation, from_payload, space_of, to_payload
from openenv.arrays import Encoding
from openenv.codec import Codec
from openenv.errors import ConfigurationError, PayloadError
from openenv.protocol.wire import JSON, MSGPACK
from openenv.rollout.sampler import ActionSampler

ONE_SIDED = spaces.Box(-np.inf, np.array([1.0, np.inf]), (2,), np.float64)
SPACES = [
    spaces.Discrete(4, start=-1),
    spaces.Box(-1, 1, (3,), np.float32),
    spaces.Box(0, 255, (4, 4, 3), np.uint8),
    spaces.Box(0, 255, (30, 30, 3), np.uint8),
    spaces.Box(np.array([[0.0, -2.0]]), np.array([[1.0, 2.0]]), (1, 2), np.float64),
    ONE_SIDED,
    spaces.MultiBinary(3),
    spaces.MultiDiscrete([3, 4], start=[1, 2]),
    spaces.Text(8, min_length=1, charset="ab"),
    spaces.Dict({"a-b": spaces.Discrete(2), "class": spaces.Dict({"x": ONE_SIDED})}),
    spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1, (2,))]),
    spaces.Sequence(spaces.Box(0, 1, (2,))),
    spaces.Box(0, 1, (0, 3), np.float32),
]
WIRES = {"msgpack": MSGPACK, "json": JSON}


def codec_of(space: Any) -> Codec:
    return Codec(dataclasses.make_dataclass("Held", [("value", annotation(space, "Held_value"))]))


def schema_of(space: Any) -> dict[str, Any]:
    schema = codec_of(space).json_schema()
    return {**schema["properties"]["value"], "$defs": schema.get("$defs", {})}


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_samples_travel_and_are_samples_again(space: Any, encoding: Encoding) -> None:
    codec = codec_of(space)
    space.seed(3)
    for _ in range(5):
        sample = space.sample()
        raw: Any = WIRES[encoding].encode(codec.cls(to_payload(space, sample)))
        again = from_payload(space, codec.decode(raw, encoding).value)
        assert space.contains(again)
        assert repr(again) == repr(sample)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_schema_says_which_space_it_is(space: Any) -> None:
    again = space_of(schema_of(space))
    if isinstance(space, spaces.MultiBinary | spaces.MultiDiscrete):
        assert isinstance(again, spaces.Box)
        assert all(again.contains(space.sample().astype(again.dtype)) for _ in range(20))
    else:
        assert again == space


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_what_is_drawn_from_the_schema_is_in_the_space(space: Any) -> None:
    codec, draw = codec_of(space), ActionSampler({"$defs": {}, **schema_of(space)}, seed=1)
    for _ in range(20):
        raw: Any = JSON.encode({"value": draw()})
        assert space.contains(from_payload(space, codec.decode(raw, "json").value))


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Box(-1, 1, (2,), np.float32), np.array([0.5, 1.0])),
        (spaces.Box(-1, 1, (2,), np.float32), np.array([0, 1])),
        (spaces.Box(-1, 1, (2, 1), np.float32), [0, 1]),
        (spaces.Box(0, np.inf, (1,), np.float32), [2**24 + 1]),
        (spaces.Discrete(3, dtype=np.int32), 2),
        (spaces.MultiBinary(2), [True, False]),
        (spaces.MultiDiscrete([2, 3]), np.array([1.0, 2.0])),
    ],
)
def test_numbers_of_another_type_are_taken_if_nothing_is_lost(space: Any, value: Any) -> None:
    sample = from_payload(space, value)
    assert (sample.dtype, sample.shape) == (space.dtype, space.shape)


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Discrete(2), 2),
        (spaces.Box(-1, 1, (2,)), [0.0, float("nan")]),
        (spaces.Box(-1, 1, (2,)), [0.0, 1.1]),
        (spaces.Box(-1, 1, (2,)), [0.0]),
        (spaces.Box(-1, 1, (2,)), ["a", "b"]),
        (spaces.Box(-1, 1, (2, 3)), [[0, 0], [0, 0], [0, 0]]),
        (spaces.Box(-1, 1, (1,)), np.array([1j])),
        (spaces.Box(-10, 10, (1,), np.int8), [256]),
        (spaces.Box(0, 10, (1,), np.uint8), np.array([256], np.uint64)),
        (spaces.MultiBinary(2), [257, 0]),
        (spaces.MultiDiscrete([2, 3]), [0.5, 1]),
        (spaces.Dict({"x": spaces.Discrete(2)}), {"y": 1}),
        (spaces.Tuple([spaces.Discrete(2)]), [0, 0]),
        (spaces.Sequence(spaces.Discrete(2)), [0, 7]),
        (spaces.Box(-1, 1, (2,)), None),
        (spaces.Box(-1, 1, (2,)), [10**400, 0]),
    ],
)
def test_what_is_not_in_the_space_is_said(space: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="is not in"):
        from_payload(space, value)


def test_a_space_of_strings_that_is_not_gymnasiums_own_travels() -> None:
    class Mission(spaces.Space[str]):
        def __init__(self) -> None:
            super().__init__(dtype=str)

        def contains(self, x: Any) -> bool:
            return isinstance(x, str) and x.startswith("get ")

    raw: Any = JSON.encode({"value": to_payload(Mission(), "get to the goal")})
    assert codec_of(Mission()).decode(raw, "json").value == "get to the goal"
    assert space_of(schema_of(Mission())).contains("get to the goal")
    with pytest.raises(ValueError, match="is not in"):
        from_payload(Mission(), "go")


def test_large_values_are_shown_in_part() -> None:
    with pytest.raises(ValueError, match=r"\.\.\. is not in Discrete") as raised:
        from_payload(spaces.Discrete(2), list(range(1000)))
    assert len(str(raised.value)) < 260


def test_the_door_refuses_what_the_class_shows_to_be_wrong() -> None:
    with pytest.raises(PayloadError, match=r"value"):
        codec_of(spaces.Discrete(2)).decode(JSON.encode({"value": 2}), "json")


@pytest.mark.parametrize(
    "space",
    [
        spaces.Graph(spaces.Discrete(2), None),
        spaces.OneOf([spaces.Discrete(2)]),
        spaces.Sequence(spaces.Discrete(2), stack=True),
    ],
    ids=str,
)
def test_spaces_whose_samples_cannot_travel_are_refused(space: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot travel"):
        annotation(space, "Held")


@pytest.mark.parametrize("schema", [{"type": "number"}, {}, {"type": "integer"}])
def test_schemas_of_no_space_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        space_of(schema)
