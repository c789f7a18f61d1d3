"""The contract lets honest environments pass, however they are written, and catches the others."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from openenv.core.env_server.types import Action, Observation, State
from openenv.environment import Environment
from openenv.models import State as PlainState
from openenv.testing.contract import EnvironmentContract
from tests.environments import Add, AsyncCounter, Counter, ThreadCounter, Total

CHECKS = sorted(name for name in vars(EnvironmentContract) if name.startswith("test_"))


class Streaming(Counter):
    def step(self, action: Add) -> Iterator[Total]:
        yield Total(self.total)
        yield super().step(action)


class AsyncStreaming(Counter):
    async def step(self, action: Add) -> Any:
        yield Total(self.total)
        await asyncio.sleep(0)
        yield super().step(action)


class Branching(Counter):
    def snapshot(self) -> int:
        return self.total

    def restore(self, snapshot: int) -> Total:
        self.total = snapshot
        return Total(snapshot)


class Dicts(Environment):
    """Names no classes; ends at once, and is one of a kind."""

    def reset(self) -> dict[str, Any]:
        return {"board": np.zeros((2, 3), "<f4")}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        return {"board": np.ones((2, 3), "<f4"), "reward": np.float32(1), "done": True}


class Model(Action):
    amount: int


class Seen(Observation):
    total: int


class OnPydantic(Environment):
    def reset(self, seed: int | None = None, **options: Any) -> Seen:
        self._state = State(episode_id="one", goal=3)
        return Seen(total=0)

    def step(self, action: Model, timeout_s: float | None = None) -> Seen:
        self._state.step_count += 1
        return Seen(total=action.amount, reward=float("nan"))

    @property
    def state(self) -> State:
        return self._state


def contract(make: Callable[[], Any], action: Any = None, *classes: Any) -> EnvironmentContract:
    class Contract(EnvironmentContract):
        action_cls, observation_cls = classes or (None, None)

        def make_environment(self) -> Any:
            return make()

        def make_action(self, observation: Any) -> Any:
            return action or Add()

    return Contract()


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "kept",
    [
        contract(Counter),
        contract(AsyncCounter),
        contract(Branching),
        contract(ThreadCounter),
        contract(Streaming),
        contract(AsyncStreaming),
        contract(Dicts, {"x": 1}),
        contract(OnPydantic, {"amount": 2}, Model, Seen),
    ],
    ids=[
        "inline",
        "async",
        "branching",
        "thread",
        "streaming",
        "async streaming",
        "dicts",
        "pydantic",
    ],
)
def test_an_honest_environment_passes(kept: EnvironmentContract, check: str) -> None:
    getattr(kept, check)()


class ReturnsNothing(Counter):
    def step(self, action: Add) -> Any:
        super().step(action)


class ReturnsAnotherClass(Counter):
    def reset(self, seed: int | None = None) -> Any:
        return {"total": 0}


class RewardsWithWords(Counter):
    def step(self, action: Add) -> Any:
        return Total(1, reward="a lot")  # type: ignore[arg-type]


class DoneInNumpy(Counter):
    def step(self, action: Add) -> Any:
        return Total(1, done=np.bool_(False))  # type: ignore[arg-type]


class ForgetsItsSeed(Counter):
    resets: ClassVar[int] = 0

    def reset(self, seed: int | None = None) -> Any:
        ForgetsItsSeed.resets += 1
        return Total(ForgetsItsSeed.resets)


class LosesItselfByName(Counter):
    def reset(self, seed: int | None = None, episode_id: str | None = None) -> Any:
        return super().reset(seed) if episode_id is None else {}


class RestoresNothing(Branching):
    def restore(self, snapshot: int) -> Total:
        return super().restore(0)


class NeverCounts(Counter):
    state = PlainState()  # type: ignore[assignment]


class HasNoCount(Counter):
    state = {"total": 0}  # type: ignore[assignment]  # noqa: RUF012


class ClosesWhatItHasNot(Counter):
    def close(self) -> None:
        super().close()
        self.connection.close()  # type: ignore[attr-defined]


class SharesItsState(Environment[Add, Total, PlainState]):
    SUPPORTS_CONCURRENT_SESSIONS = True
    state = PlainState()  # type: ignore[assignment]

    def reset(self, seed: int | None = None) -> Total:
        self.state.step_count = 0
        return Total(0)

    def step(self, action: Add) -> Total:
        self.state.step_count += 1
        return Total(0)


class HasAListForState(Environment):
    def reset(self) -> dict[str, Any]:
        return {}

    @property
    def state(self) -> list:  # type: ignore[type-arg]
        return []


@dataclass
class Slim:
    step_count: int = 0


@dataclass
class Wide(Slim):
    more: int = 1


class LosesAField(Counter):
    @property
    def state(self) -> Slim:
        return Wide()


@pytest.mark.parametrize(
    ("environment", "check", "sentence"),
    [
        (ReturnsNothing, "reset_and_step_return_observations", "step returns an observation"),
        (
            ReturnsAnotherClass,
            "reset_and_step_return_observations",
            "reset returns Total, not dict",
        ),
        (RewardsWithWords, "rewards_are_numbers_or_none", "reward of step is a number or None"),
        (DoneInNumpy, "done_and_truncated_are_true_or_false", "done of step is True or False"),
        (ForgetsItsSeed, "the_same_seed_begins_the_same_episode", "a seed begins the same episode"),
        (LosesItselfByName, "an_episode_may_be_given_a_name", "reset takes an episode_id"),
        (RestoresNothing, "a_snapshot_goes_on_as_the_episode_did", "goes on as the episode did"),
        (NeverCounts, "the_state_counts_steps", "step_count grows with each step"),
        (HasNoCount, "the_state_counts_steps", "the state has a step_count"),
        (SharesItsState, "instances_share_no_episode", "does not show in another instance"),
        (HasAListForState, "payload_classes_have_json_schemas", "the state has named fields"),
        (LosesAField, "payloads_survive_the_wire", "the state arrives in msgpack as it was sent"),
    ],
)
def test_a_breach_is_called_by_its_sentence(
    environment: type[Environment], check: str, sentence: str
) -> None:
    with pytest.raises(AssertionError, match=sentence):
        getattr(contract(environment), f"test_{check}")()
    assert Counter.living == 0


def test_what_an_environment_raises_comes_out_as_it_is() -> None:
    with pytest.raises(AttributeError, match="connection"):
        contract(ClosesWhatItHasNot).test_close_is_harmless()


@pytest.mark.parametrize("missing", ["make_environment", "make_action"])
def test_a_contract_says_what_it_lacks(missing: str) -> None:
    class Half(EnvironmentContract):
        def make_environment(self) -> Any:
            return super().make_environment() if missing == "make_environment" else Counter()

    with pytest.raises(NotImplementedError, match=rf"Half must define {missing}\(\)"):
        Half().test_payloads_survive_the_wire()
