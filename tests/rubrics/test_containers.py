import asyncio
import gc
from typing import Any

import pytest

from openenv.errors import ConfigurationError
from openenv.rubrics import Gate, Rubric, RubricDict, RubricList, Sequential, WeightedSum
from tests.patience import within
from tests.rubrics.scoring import Fixed, Given, Later


@pytest.mark.parametrize(
    ("values", "score", "asked"),
    [([], 1.0, []), ([1.0, 0.5], 0.5, [1, 1]), ([1.0, 0.0, 0.7], 0.0, [1, 1, 0])],
)
def test_a_sequence_stops_at_the_first_zero(
    values: list[float], score: float, asked: list[int]
) -> None:
    children = [Fixed(value) for value in values]
    assert Sequential(*children)(None, None) == score
    assert [child.asked for child in children] == asked


async def test_a_sequence_goes_on_after_what_is_async() -> None:
    children = [Fixed(1.0), Later(0.5), Fixed(0.0), Later(1.0)]
    rubric = Sequential(*children)
    assert await rubric(None, None) == 0.0  # type: ignore[misc]
    assert [child.asked for child in children] == [1, 1, 1, 0]
    assert rubric.last_score == 0.0


@pytest.mark.parametrize(("given", "score"), [(0.69, 0.0), (0.7, 0.7), (0.9, 0.9)])
async def test_a_gate_lets_through_what_reaches_its_threshold(given: float, score: float) -> None:
    assert Gate(Given(), threshold=0.7)(given, None) == score
    assert await Gate(Later(given), threshold=0.7)(None, None) == score  # type: ignore[misc]


def test_a_gate_names_its_child_and_saves_its_threshold() -> None:
    gate = Gate(Fixed(1.0), 0.5)
    assert [name for name, _ in gate.named_children()] == ["rubric"]
    assert gate.state_dict() == {"threshold": 0.5, "rubric.value": 1.0}


def test_a_weighted_sum_adds_up() -> None:
    rubric = WeightedSum([Given(), Fixed(0.5)], [0.4, 0.6])
    assert rubric(1.0, None) == pytest.approx(0.7)
    assert rubric.weights == [0.4, 0.6]


async def test_a_weighted_sum_asks_all_that_are_async_at_once() -> None:
    slow = [Later(1.0), Later(0.0)]
    for one in slow:
        one.release.clear()
    rubric = WeightedSum([Fixed(0.5), *slow], [0.5, 0.25, 0.25])
    asked = asyncio.ensure_future(rubric(None, None))  # type: ignore[arg-type]
    while [one.asked for one in slow] != [1, 1]:
        await asyncio.sleep(0)
    for one in slow:
        one.release.set()
    assert await asked == 0.5


async def test_what_fails_in_a_weighted_sum_cancels_the_others() -> None:
    class Failing(Later):
        async def forward(self, action: Any, observation: Any) -> float:  # type: ignore[override]
            raise ValueError("no model")

    stuck = Later(1.0)
    stuck.release.clear()
    async with within(5):
        with pytest.raises(ValueError, match="no model"):
            await WeightedSum([stuck, Failing(1.0)], [0.5, 0.5])(None, None)  # type: ignore[misc]
    assert stuck.last_score is None


def test_what_fails_at_once_leaves_no_coroutine_behind() -> None:
    class Failing(Rubric):
        def forward(self, action: Any, observation: Any) -> float:
            raise ValueError("no text")

    nested = WeightedSum([Later(1.0), Fixed(1.0)], [0.5, 0.5])
    with pytest.raises(ValueError, match="no text"):
        WeightedSum([nested, Gate(Later(1.0)), Failing()], [0.5, 0.25, 0.25])(None, None)
    gc.collect()  # a coroutine that nobody has awaited would be a warning, and so an error


async def test_what_is_cancelled_before_it_began_leaves_no_coroutine_behind() -> None:
    asked = asyncio.ensure_future(Gate(Later(1.0))(None, None))  # type: ignore[arg-type]
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    gc.collect()


@pytest.mark.parametrize(
    ("weights", "message"), [([0.5], "1 weights for 2 rubrics"), ([0.5, 0.4], "add up to 1")]
)
def test_weights_that_make_no_sense_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WeightedSum([Fixed(1.0), Fixed(1.0)], weights)


def test_a_list_has_its_rubrics_by_position() -> None:
    first, second, third = Fixed(1.0), Fixed(2.0), Fixed(3.0)
    rubrics = RubricList([first])
    rubrics.append(second)
    rubrics.extend([third])
    assert (len(rubrics), rubrics[1], list(rubrics)) == (3, second, [first, second, third])
    assert [name for name, _ in rubrics.named_children()] == ["rubric_0", "rubric_1", "rubric_2"]
    with pytest.raises(NotImplementedError):
        rubrics(None, None)


def test_a_dict_has_its_rubrics_by_name() -> None:
    first, second = Fixed(1.0), Fixed(2.0)
    rubrics = RubricDict({"first": first})
    rubrics["second"] = second
    assert (len(rubrics), rubrics["second"], "first" in rubrics) == (2, second, True)
    assert list(rubrics) == list(rubrics.keys()) == ["first", "second"]
    assert list(rubrics.values()) == [first, second]
    assert dict(rubrics.items()) == {"first": first, "second": second}
    assert rubrics.get_rubric("second") is second


@pytest.mark.parametrize("name", ["", "a.b"])
def test_names_that_could_not_be_part_of_a_path_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a rubric"):
        RubricDict({name: Fixed(1.0)})


def test_what_is_no_rubric_is_refused_when_it_is_put_in() -> None:
    nothing: Any = 1.0
    for make in (lambda: Gate(nothing), lambda: Sequential(nothing)):
        with pytest.raises(ConfigurationError, match="is no Rubric"):
            make()
