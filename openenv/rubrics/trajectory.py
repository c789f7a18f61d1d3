"""Rubrics that score an episode when it is over, and say afterwards what each step was worth."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from openenv.errors import ConfigurationError
from openenv.rubrics.base import Rubric, Score, then

Trajectory = list[tuple[Any, Any]]
"(action, observation) of each step."


class TrajectoryRubric(Rubric):
    """Remembers the steps of an episode; the last one, done or truncated, gets its score.

    Define `score_trajectory`. It is forgotten at `reset`.
    """

    STATE: ClassVar[tuple[str, ...]] = ("intermediate_reward",)

    def __init__(self, intermediate_reward: float = 0.0) -> None:
        self.intermediate_reward = intermediate_reward
        "What each step before the last gets."
        self._trajectory: Trajectory = []
        self._outcome: float | None = None

    @property
    def trajectory(self) -> Trajectory:
        """(action, observation) of each step since reset."""
        return list(self._trajectory)

    @abstractmethod
    def score_trajectory(self, trajectory: Trajectory) -> Score:
        """Return what the episode was worth; may be `async def`."""
        raise NotImplementedError(f"{type(self).__name__} must define score_trajectory()")

    def compute_step_rewards(self) -> list[float]:
        """Return what each step was worth; by default the score is the last one's.

        Raises ConfigurationError before the episode is over.
        """
        return [self.intermediate_reward] * (len(self._trajectory) - 1) + [self._final_score()]

    def forward(self, action: Any, observation: Any) -> Score:
        """Return the episode's score at its end, else what a step gets."""
        self._trajectory.append((action, observation))
        if not _is_last(observation):
            return self.intermediate_reward
        score: Score = then(self.score_trajectory(self.trajectory), self._end)
        return score

    def reset(self) -> None:
        """Begin an episode."""
        super().reset()
        self._trajectory, self._outcome = [], None

    def _end(self, score: float) -> float:
        self._outcome = score
        return score

    def _final_score(self) -> float:
        if self._outcome is None:
            raise ConfigurationError("the episode is not over: it has no score yet")
        return self._outcome


class ExponentialDiscountingTrajectoryRubric(TrajectoryRubric):
    """Shares the score out: with n steps left, a step was worth gamma ** n of it."""

    STATE: ClassVar[tuple[str, ...]] = (*TrajectoryRubric.STATE, "gamma")

    def __init__(self, gamma: float = 0.99, intermediate_reward: float = 0.0) -> None:
        """Take a factor from 0 (the last step alone) to 1 (all the same)."""
        super().__init__(intermediate_reward)
        self.gamma = gamma

    @property
    def gamma(self) -> float:
        """What is left of a score one step earlier."""
        return self._gamma

    @gamma.setter
    def gamma(self, gamma: float) -> None:
        if not 0.0 <= gamma <= 1.0:
            raise ConfigurationError(f"gamma must be from 0 to 1, not {gamma:g}")
        self._gamma = gamma

    def compute_step_rewards(self) -> list[float]:
        """Return what each step was worth."""
        score, steps = self._final_score(), len(self._trajectory)
        return [score * self.gamma ** (steps - 1 - index) for index in range(steps)]


def _is_last(observation: Any) -> bool:
    if isinstance(observation, Mapping):
        return bool(observation.get("done") or observation.get("truncated"))
    return bool(getattr(observation, "done", False) or getattr(observation, "truncated", False))
