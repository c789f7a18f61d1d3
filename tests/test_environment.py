"""Environment: what an author may leave out, and what the base does then."""

from typing import Any

import pytest

from openenv.environment import CompositeTransform, Environment, NullTransform, Transform
from openenv.models import Observation


class Counted(Transform[Observation]):
    def __call__(self, observation: Observation) -> Observation:
        observation.metadata["seen"] = observation.metadata.get("seen", 0) + 1
        return observation


def always_one(action: Any, observation: Any) -> float:
    return 1.0


class ByClass(Environment):
    transform = Counted()

    def __init__(self) -> None:
        """As in the first samples: without super().__init__()."""


class BySuper(Environment):
    def __init__(self, transform: Any = None) -> None:
        super().__init__(transform=transform, rubric=always_one)


class Both(Environment):
    transform = Counted()

    def __init__(self) -> None:
        super().__init__()


@pytest.mark.parametrize("environment", [ByClass(), BySuper(Counted()), Both()])
def test_a_transform_comes_from_the_class_or_the_constructor(environment: Environment) -> None:
    assert environment._apply_transform(Observation()).metadata == {"seen": 1}


def test_what_is_not_given_stays_what_the_class_says() -> None:
    plain = BySuper()
    assert plain.transform is None
    assert plain._apply_transform(observation := Observation()) is observation
    assert plain._apply_rubric(None, observation) == 1.0
    assert ByClass()._apply_rubric(None, observation) == 0.0


def test_transforms_compose_first_to_last() -> None:
    observation = Observation()
    assert NullTransform[Observation]()(observation) is observation
    both = CompositeTransform([Counted(), NullTransform(), Counted()])
    assert both(observation).metadata == {"seen": 2}


def test_an_environment_says_which_method_it_lacks() -> None:
    with pytest.raises(NotImplementedError, match=r"ByClass must define reset\(\)"):
        ByClass().reset()
    with pytest.raises(NotImplementedError, match=r"ByClass must define step\(\)"):
        ByClass().step(None)


def test_a_fresh_instance_has_a_state_and_a_name() -> None:
    environment = Both()
    assert (environment.state.episode_id, environment.state.step_count) == (None, 0)
    assert environment.get_metadata().name == "Both"
