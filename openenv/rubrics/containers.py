"""Rubrics that are made of others: one after the other, as a gate, weighted; and mere lists.

Where a child is async, so is what contains it, and `WeightedSum` asks all at once.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError
from openenv.rubrics.base import Rubric, Score, discard, then

if TYPE_CHECKING:
    from collections.abc import (
        Generator,
        ItemsView,
        Iterator,
        KeysView,
        Mapping,
        Sequence,
        ValuesView,
    )


class RubricList(Rubric):
    """Rubrics by position; as children they are `rubric_0`, `rubric_1`... Its parent asks them."""

    def __init__(self, rubrics: Sequence[Rubric] | None = None) -> None:
        self._items: list[Rubric] = []
        self.extend(rubrics or ())

    def append(self, rubric: Rubric) -> None:
        """Add one. Raises ConfigurationError if it is none."""
        self._items.append(_checked(rubric))

    def extend(self, rubrics: Sequence[Rubric]) -> None:
        """Add several."""
        for rubric in rubrics:
            self.append(rubric)

    def named_children(self) -> Iterator[tuple[str, Rubric]]:
        """Yield them with their names."""
        for index, rubric in enumerate(self._items):
            yield f"rubric_{index}", rubric
        yield from super().named_children()

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Rubric:
        return self._items[index]

    def __iter__(self) -> Iterator[Rubric]:
        return iter(self._items)


class RubricDict(Rubric):
    """Rubrics by name, which are the names of the children. Its parent asks them."""

    def __init__(self, rubrics: Mapping[str, Rubric] | None = None) -> None:
        self._items: dict[str, Rubric] = {}
        self.update(rubrics or {})

    def update(self, rubrics: Mapping[str, Rubric]) -> None:
        """Add several, or replace them."""
        for name, rubric in rubrics.items():
            self[name] = rubric

    def named_children(self) -> Iterator[tuple[str, Rubric]]:
        """Yield them with their names."""
        yield from self._items.items()
        yield from super().named_children()

    def __setitem__(self, name: str, rubric: Rubric) -> None:
        if not name or "." in name:
            raise ConfigurationError(f"{name!r} cannot name a rubric: dots divide its path")
        self._items[name] = _checked(rubric)

    def __getitem__(self, name: str) -> Rubric:
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._items.keys()

    def values(self) -> ValuesView[Rubric]:
        """Return the rubrics."""
        return self._items.values()

    def items(self) -> ItemsView[str, Rubric]:
        """Return both."""
        return self._items.items()


class Sequential(RubricList):
    """Asks one after the other, and stops at the first 0; else the last score counts.

    Put cheap checks before costly ones. Of nothing, the score is 1.
    """

    def __init__(self, *rubrics: Rubric) -> None:
        super().__init__(rubrics)

    def forward(self, action: Any, observation: Any) -> Score:
        """Return 0, or what the last one gives."""
        waiting = iter(self)

        def go_on(score: float) -> Any:
            rubric = None if score == 0 else next(waiting, None)
            if rubric is None:
                return score
            outcome = rubric(action, observation)
            return then(outcome, go_on_off_loop if inspect.isawaitable(outcome) else go_on)

        async def go_on_off_loop(score: float) -> float:
            # What comes after an async rubric may be one that computes.
            outcome = await asyncio.to_thread(go_on, score)
            return await outcome if inspect.isawaitable(outcome) else outcome  # type: ignore[no-any-return]

        score: Score = go_on(1.0)
        return score


class Gate(Rubric):
    """Gives a rubric's score if that reaches the threshold, and 0 else."""

    STATE = ("threshold",)

    def __init__(self, rubric: Rubric, threshold: float = 1.0) -> None:
        self.rubric = _checked(rubric)
        self.threshold = threshold

    def forward(self, action: Any, observation: Any) -> Score:
        """Return the score, or 0."""
        score: Score = then(
            self.rubric(action, observation),
            lambda score: score if score >= self.threshold else 0.0,
        )
        return score


class WeightedSum(RubricList):
    """Adds the scores of several, each times its weight; async ones are asked at the same time."""

    STATE = ("weights",)

    def __init__(self, rubrics: Sequence[Rubric], weights: Sequence[float]) -> None:
        """Take a weight for each rubric; their sum is 1. Raises ConfigurationError."""
        super().__init__(rubrics)
        self.weights = list(weights)

    @property
    def weights(self) -> list[float]:
        """One for each rubric."""
        return list(self._weights)

    @weights.setter
    def weights(self, weights: list[float]) -> None:
        if len(weights) != len(self):
            raise ConfigurationError(f"{len(weights)} weights for {len(self)} rubrics")
        if not math.isclose(math.fsum(weights), 1.0, abs_tol=1e-6):
            raise ConfigurationError(f"the weights must add up to 1, not {math.fsum(weights):g}")
        self._weights = list(weights)

    def forward(self, action: Any, observation: Any) -> Score:
        """Return the weighted sum."""
        scores: list[Score] = []
        try:
            scores.extend(rubric(action, observation) for rubric in self)
        except BaseException:
            _Together(scores).close()
            raise
        if any(map(inspect.isawaitable, scores)):
            return then(_Together(scores), self._add)  # type: ignore[no-any-return]
        return self._add(scores)  # type: ignore[arg-type]  # none is awaitable

    def _add(self, scores: list[float]) -> float:
        return sum(w * score for w, score in zip(self._weights, scores, strict=True))


class _Together:
    """Awaits all scores at the same time; if one fails the others are cancelled."""

    def __init__(self, scores: Sequence[Any]) -> None:
        self._scores = scores

    def __await__(self) -> Generator[Any, None, list[float]]:
        return self._settle().__await__()

    def close(self) -> None:
        """Await none."""
        for score in self._scores:
            discard(score)

    async def _settle(self) -> list[float]:
        async def settled(score: Any) -> float:
            return await score if inspect.isawaitable(score) else score  # type: ignore[no-any-return]

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(settled(score)) for score in self._scores]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]


def _checked(rubric: Any) -> Rubric:
    if not isinstance(rubric, Rubric):
        raise ConfigurationError(f"{rubric!r} is no Rubric: subclass it and define forward()")
    return rubric
