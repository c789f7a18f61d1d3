"""Episodes that their environment has failed are begun anew; tokens of policies are recorded."""

from collections import Counter as Tally
from pathlib import Path
from typing import Any, ClassVar

import pytest

from openenv.environment import Environment
from openenv.models import State
from openenv.recording import read
from openenv.rollout.collect import POLICY_FAILED, collect, episode_seed
from openenv.rollout.policy import Completion


class Flaky(Environment[dict[str, Any], dict[str, Any], State]):
    """The first `failures` episodes of each seed fail in their second step."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"
    failures: ClassVar[int] = 1
    begun: ClassVar[Tally[int | None]] = Tally()
    made: ClassVar[int] = 0

    def __init__(self) -> None:
        Flaky.made += 1
        self.count = 0
        self.seed: int | None = None

    def reset(self, seed: int | None = None) -> dict[str, Any]:
        Flaky.begun[seed] += 1
        self.seed, self.count = seed, 0
        return {}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        if self.count == 2 and Flaky.begun[self.seed] <= Flaky.failures:
            raise OSError("the simulator is gone")
        return {"count": self.count, "reward": 1.0, "done": self.count == 3}


@pytest.mark.parametrize(("failures", "retries", "failed"), [(1, 1, 0), (2, 2, 0), (2, 1, 12)])
async def test_a_failed_episode_is_begun_anew_in_another_session(
    tmp_path: Path, failures: int, retries: int, failed: int
) -> None:
    Flaky.failures, Flaky.made = failures, 0
    Flaky.begun.clear()
    out = tmp_path / "episodes.jsonl"
    run = await collect(
        Flaky, lambda _: {}, episodes=12, concurrency=4, seed=3, retries=retries, out=out
    )
    attempts = min(failures, retries) + 1
    assert (run.episodes, run.failures) == (12, failed)
    assert Flaky.begun == {episode_seed(3, index): attempts for index in range(12)}
    assert Flaky.made >= 12 * (attempts - 1)
    episodes = list(read(out))
    assert sorted(episode.episode for episode in episodes) == list(range(12))
    assert {episode.attempts for episode in episodes} == {attempts}
    assert {episode.length for episode in episodes} == {1 if failed else 3}


async def test_an_environment_that_cannot_be_made_is_tried_as_often_as_said() -> None:
    made = 0

    class Unmakeable(Flaky):
        def __init__(self) -> None:
            nonlocal made
            made += 1
            if made > 1:  # the first shows the server what the class can do
                raise OSError("no licence")

    run = await collect(lambda: Unmakeable(), lambda _: {}, episodes=3, concurrency=1, retries=2)
    assert run.causes == {"ENVIRONMENT_FACTORY_FAILED": 3}
    assert [episode.attempts for episode in run] == [3, 3, 3]


async def test_what_a_policy_fails_is_not_tried_again() -> None:
    calls = 0

    def policy(observation: Any) -> Any:
        nonlocal calls
        calls += 1
        raise ValueError("no idea")

    run = await collect(Flaky, policy, episodes=5, retries=3)
    assert run.causes == {POLICY_FAILED: 5}
    assert calls == 5


async def test_the_tokens_of_a_completion_are_recorded_with_its_turn(tmp_path: Path) -> None:
    Flaky.failures = 0

    def policy(observation: Any) -> Completion:
        count = observation.get("count", 0)
        return Completion({"n": count}, [1, 2], [3] * count, [-0.5] * count, [1] * count)

    out = tmp_path / "episodes.jsonl"
    await collect(Flaky, policy, episodes=1, out=out)
    (episode,) = read(out)
    assert [turn.action for turn in episode.turns] == [{"n": 0}, {"n": 1}, {"n": 2}]
    last = episode.turns[2]
    assert (last.prompt_token_ids, last.completion_token_ids) == ([1, 2], [3, 3])
    assert (last.logprobs, last.loss_mask) == ([-0.5, -0.5], [1, 1])


@pytest.mark.parametrize("field", ["logprobs", "loss_mask"])
async def test_a_value_too_few_for_the_tokens_fails_the_episode_with_its_name(field: str) -> None:
    values: dict[str, Any] = {field: [1, 1]}
    run = await collect(
        Flaky,
        lambda _: Completion({}, completion_token_ids=[1, 2, 3], **values),
        episodes=1,
    )
    (episode,) = run
    assert episode.error is not None
    assert episode.error.type == "ValueError"
    assert field in episode.error.message
