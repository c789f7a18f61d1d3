import asyncio
from typing import Any

import pytest

from openenv.errors import ConfigurationError
from openenv.rubrics import Rubric, WeightedSum
from tests.rubrics.scoring import Fixed, Given, Later


class Tree(Rubric):
    """A parent that says itself how its children count."""

    def __init__(self) -> None:
        self.style = WeightedSum([Fixed(1.0), Fixed(0.5)], [0.5, 0.5])
        self.length = Given()

    def forward(self, action: Any, observation: Any) -> float:
        return self.style(action, observation) + self.length(action, observation)  # type: ignore[operator]


def test_a_score_is_remembered() -> None:
    rubric = Given()
    assert rubric.last_score is None
    assert rubric(0.25, None) == 0.25
    assert rubric.last_score == 0.25


async def test_an_async_score_is_awaited_and_then_remembered() -> None:
    rubric = Later(0.5)
    rubric.release.clear()
    asked: Any = asyncio.ensure_future(rubric(None, None))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert rubric.last_score is None
    rubric.release.set()
    assert await asked == 0.5
    assert rubric.last_score == 0.5


def test_a_rubric_without_forward_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Rubric must define forward"):
        Rubric()(None, None)


def test_a_rubric_that_forgets_to_return_its_score_is_named() -> None:
    nothing: Any = None
    with pytest.raises(TypeError, match=r"Fixed\.forward returned None"):
        WeightedSum([Fixed(nothing)], [1.0])(None, None)


def test_attributes_that_are_rubrics_are_children_with_paths() -> None:
    tree = Tree()
    paths = ["style", "style.rubric_0", "style.rubric_1", "length"]
    assert [path for path, _ in tree.named_rubrics()] == paths
    assert next(path for path, _ in tree.named_rubrics("all")) == "all.style"
    assert list(tree.children()) == [tree.style, tree.length]
    assert len(list(tree.rubrics())) == 4
    assert tree.get_rubric("style.rubric_1") is tree.style[1]
    assert tree.get_rubric("") is tree
    assert tree(2, None) == 2.75


def test_a_wrong_path_tells_what_there_is() -> None:
    with pytest.raises(KeyError, match="'rubric_7' is not one of: rubric_0, rubric_1"):
        Tree().get_rubric("style.rubric_7")
    with pytest.raises(KeyError, match="is not one of: none"):
        Tree().get_rubric("length.more")


def test_hooks_are_called_before_and_after_with_what_is_scored() -> None:
    seen: list[Any] = []
    rubric = Given()
    rubric.register_forward_pre_hook(lambda *told: seen.append(("before", *told)))
    rubric.register_forward_hook(lambda *told: seen.append(("after", *told)))
    rubric.register_forward_hook(lambda *_: seen.append("second"))
    rubric(1, "seen")
    assert seen == [("before", rubric, 1, "seen"), ("after", rubric, 1, "seen", 1.0), "second"]
    assert Given()._hooks == ()


async def test_async_hooks_are_awaited_in_order() -> None:
    seen: list[Any] = []

    async def slow(*_: Any) -> None:
        await asyncio.sleep(0)
        seen.append("slow")

    rubric = Given()
    rubric.register_forward_pre_hook(slow)
    rubric.register_forward_pre_hook(lambda *_: seen.append("quick"))
    rubric.register_forward_hook(slow)
    assert await rubric(1, None) == 1.0  # type: ignore[misc]
    assert seen == ["slow", "quick", "slow"]


def test_reset_reaches_the_whole_tree() -> None:
    class Counting(Rubric):
        resets = 0

        def reset(self) -> None:
            self.resets += 1

    tree, leaf = Tree(), Counting()
    tree.style.append(leaf)
    tree.reset()
    assert leaf.resets == 1


def test_state_is_saved_and_loaded_by_path() -> None:
    tree = Tree()
    state = tree.state_dict()
    assert state == {
        "style.weights": [0.5, 0.5],
        "style.rubric_0.value": 1.0,
        "style.rubric_1.value": 0.5,
    }
    tree.load_state_dict({**state, "style.weights": [0.0, 1.0]})
    assert tree(0, None) == 0.5
    assert tree.state_dict()["style.weights"] == [0.0, 1.0]


def test_state_that_is_refused_in_part_is_not_set_at_all() -> None:
    tree = Tree()
    before = tree.state_dict()
    with pytest.raises(ConfigurationError, match="add up to 1"):
        tree.load_state_dict({"style.rubric_0.value": 9.0, "style.weights": [1.0, 1.0]})
    assert tree.state_dict() == before


def test_unknown_state_is_refused_and_nothing_is_set() -> None:
    tree = Tree()
    with pytest.raises(ConfigurationError, match=r"has no style\.pace; it has: style\.weights"):
        tree.load_state_dict({"style.weights": [0.0, 1.0], "style.pace": 1})
    assert tree.style.weights == [0.5, 0.5]
