from typing import Any

import pytest

from openenv.errors import ConfigurationError
from openenv.models import Observation
from openenv.rubrics import ExponentialDiscountingTrajectoryRubric, TrajectoryRubric


class Length(TrajectoryRubric):
    def score_trajectory(self, trajectory: Any) -> float:
        return float(len(trajectory))


class SharedLength(ExponentialDiscountingTrajectoryRubric):
    async def score_trajectory(self, trajectory: Any) -> float:
        return float(len(trajectory))


GOING, DONE = Observation(), Observation(done=True)


@pytest.mark.parametrize("last", [DONE, Observation(truncated=True), {"done": True}])
def test_the_last_step_gets_the_score_of_the_episode(last: Any) -> None:
    rubric = Length(intermediate_reward=0.1)
    assert [rubric(number, seen) for number, seen in enumerate([GOING, {}, last])] == [0.1, 0.1, 3]
    assert rubric.trajectory == [(0, GOING), (1, {}), (2, last)]
    assert rubric.compute_step_rewards() == [0.1, 0.1, 3.0]


def test_reset_forgets_the_episode() -> None:
    rubric = Length()
    rubric(0, DONE)
    rubric.reset()
    assert rubric.trajectory == []
    with pytest.raises(ConfigurationError, match="not over"):
        rubric.compute_step_rewards()


async def test_a_discounted_score_is_shared_out_backwards() -> None:
    rubric = SharedLength(gamma=0.5)
    assert [rubric(0, GOING), rubric(1, GOING)] == [0.0, 0.0]
    assert await rubric(2, DONE) == 3.0  # type: ignore[misc]
    assert rubric.compute_step_rewards() == [0.75, 1.5, 3.0]
    assert rubric.state_dict() == {"intermediate_reward": 0.0, "gamma": 0.5}


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan")])
def test_a_factor_that_is_none_is_refused(gamma: float) -> None:
    with pytest.raises(ConfigurationError, match="gamma must be from 0 to 1"):
        SharedLength(gamma=gamma)


def test_a_trajectory_rubric_without_its_score_says_so() -> None:
    with pytest.raises(NotImplementedError, match="must define score_trajectory"):
        TrajectoryRubric()(0, DONE)
