"""What an observation is made of, so that many can be stacked."""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

from openenv.client.vector.form import Leaf, described, leaves_of, value_at

FLOATS = np.dtype(np.float32)


@dataclass
class Puck:
    place: list[int]
    speed: float
    reward: float = 0.0


class Frame(msgspec.Struct):
    pixels: Any
    puck: Puck


@pytest.mark.parametrize(
    ("value", "leaves"),
    [
        (3, [Leaf((), (), None)]),
        ([[1, 2], [3, 4]], [Leaf((), (2, 2), None)]),
        (np.zeros((2, 3), FLOATS), [Leaf((), (2, 3), FLOATS)]),
        ({"a": 1, "b": {"c": [1.0]}}, [Leaf(("a",), (), None), Leaf(("b", "c"), (1,), None)]),
        # The reward is a field of the step, not of the observation.
        (Puck([1, 2], 0.5), [Leaf(("place",), (2,), None), Leaf(("speed",), (), None)]),
    ],
)
def test_numbers_lists_of_them_and_arrays_are_leaves(value: Any, leaves: list[Leaf]) -> None:
    assert leaves_of(value) == leaves


@pytest.mark.parametrize(
    "value", ["text", None, [], [[1], [1, 2]], ["a"], {"a": 1, "b": "text"}, {}, np.array(["a"])]
)
def test_anything_else_has_no_form(value: Any) -> None:
    assert leaves_of(value) is None


def test_a_leaf_is_found_by_its_path_in_objects_and_in_payloads() -> None:
    frame = Frame(np.zeros(2, FLOATS), Puck([1, 2], 0.5))
    assert value_at(frame, ("puck", "place")) == [1, 2]
    assert value_at(msgspec.to_builtins({"puck": frame.puck}), ("puck", "speed")) == 0.5


@pytest.mark.parametrize(
    ("leaf", "size_bytes"), [(Leaf((), (2, 3), FLOATS), 24), (Leaf((), (2, 3), None), 0)]
)
def test_the_size_of_an_array_is_that_of_its_elements(leaf: Leaf, size_bytes: int) -> None:
    assert leaf.size_bytes == size_bytes


def test_a_form_can_be_described() -> None:
    assert described([Leaf(("a", "b"), (2,), FLOATS), Leaf((), (), None)]) == (
        "a.b: float32 [2], observation: numbers []"
    )
