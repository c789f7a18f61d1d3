"""BoundEnvironment: an instance and its methods; the episode that it can see."""

from typing import Any

from openenv.environment import Environment
from openenv.server.runners.bound import BoundEnvironment
from openenv.server.runners.convention import CallingConvention


class Seeing(Environment[Any, Any, Any]):
    def __init__(self) -> None:
        self.seen: list[tuple[str | None, int]] = []
        self.is_closed = False

    def reset(self) -> None:
        self.seen.append((self.episode_id, self.step_count))

    def step_async(self, action: Any) -> Any:
        return action

    def close(self) -> None:
        self.is_closed = True


def bound_to(environment: Any, **options: Any) -> BoundEnvironment:
    return BoundEnvironment(environment, CallingConvention(type(environment)), **options)


def test_its_step_and_reset_are_the_environment_s_own_methods() -> None:
    environment = Seeing()
    bound = bound_to(environment)
    assert bound.step == environment.step_async
    assert bound.reset == environment.reset


def test_an_environment_sees_the_episode_that_reset_begins() -> None:
    environment = Seeing()
    bound = bound_to(environment)
    assert (environment.episode_id, environment.step_count) == (None, 0)
    bound.begin_episode("first")
    bound.reset()
    bound.episode.step_count += 3
    assert (environment.state.episode_id, environment.state.step_count) == ("first", 3)
    bound.begin_episode(None)
    bound.reset()
    [first, (named, count)] = environment.seen
    assert first == ("first", 0)
    assert named
    assert named != "first"
    assert count == 0


def test_an_environment_may_keep_a_counter_of_its_own() -> None:
    class Counting(Seeing):
        def reset(self) -> None:
            self.step_count = 7

    environment = Counting()
    bound = bound_to(environment)
    bound.begin_episode("one")
    bound.reset()
    bound.episode.step_count += 1
    assert environment.step_count == 7
    assert environment.episode_id == "one"


def test_a_class_of_its_own_kind_is_given_no_episode() -> None:
    class Foreign:
        __slots__ = ()

        def reset(self) -> None: ...
        def step(self, action: Any) -> None: ...

    bound = bound_to(Foreign())
    bound.begin_episode("one")
    assert bound.episode.episode_id == "one"
    assert bound.close() is None


def test_a_shared_instance_is_not_closed_with_a_session() -> None:
    environment = Seeing()
    bound_to(environment, keeps_open=True).close()
    assert not environment.is_closed
    bound_to(environment).close()
    assert environment.is_closed


def test_the_state_is_read_from_a_property_or_a_method() -> None:
    class Method(Seeing):
        def state(self) -> Any:  # type: ignore[override]
            return "called"

    class Property(Seeing):
        @property
        def state(self) -> Any:
            return "read"

    assert bound_to(Method()).read_state() == "called"
    assert bound_to(Property()).read_state() == "read"
