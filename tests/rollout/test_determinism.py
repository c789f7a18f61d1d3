"""The same seed gives the same episodes, however many are played at once and wherever."""

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from envs.echo_env import EchoAction
from openenv.app import create_app
from openenv.codec import codec_for
from openenv.environment import Environment
from openenv.models import State
from openenv.recording import Episode, read
from openenv.rollout.collect import POLICY_FAILED, collect, episode_seed
from openenv.rollout.sampler import ActionSampler
from tests.processes import openenv
from tests.serving import serving


class Dice(Environment[dict[str, Any], dict[str, Any], State]):
    """Shows what its own seed throws, plus the action; ends at random."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed: int | None = None) -> dict[str, Any]:
        self.random = random.Random(seed)
        return {"thrown": self.random.randint(1, 6)}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        thrown = self.random.randint(1, 6) + action["add"]
        return {"thrown": thrown, "reward": float(thrown), "done": self.random.random() < 0.2}


def add_three(observation: dict[str, Any]) -> dict[str, Any]:
    return {"add": observation["thrown"] % 3}


async def add_three_async(observation: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(random.random() / 1000)
    return add_three(observation)


def add_three_to_many(observations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [add_three(observation) for observation in observations]


def told(episodes: Any) -> list[Any]:
    """What of episodes is the same in every run of a seed: all but their ids and times."""

    def tell(one: Episode) -> Any:
        turns = [(turn.observation, turn.action, turn.reward, turn.done) for turn in one.turns]
        return (one.episode, one.seed, turns, one.final_observation, one.ended, one.return_)

    return sorted((tell(one) for one in episodes), key=lambda one: one[0])


async def test_neither_concurrency_nor_the_policy_s_form_nor_the_server_changes_an_episode() -> (
    None
):
    expected = told(await collect(Dice, add_three, episodes=30, concurrency=1, seed=9))
    assert len({str(turns) for _, _, turns, *_ in expected}) > 20
    for policy, options in (
        (add_three, {"concurrency": 30}),
        (add_three_async, {"concurrency": 7}),
        (add_three_to_many, {"concurrency": 16, "batched": True}),
        (add_three, {"concurrency": 3, "policy_timeout_s": 20.0}),
    ):
        assert told(await collect(Dice, policy, episodes=30, seed=9, **options)) == expected
    async with serving(create_app(Dice)) as url:
        assert told(await collect(url, add_three, episodes=30, seed=9)) == expected
    assert told(await collect(Dice, add_three, episodes=30, seed=8)) != expected


async def test_an_episode_does_not_depend_on_how_many_there_are() -> None:
    many = told(await collect(Dice, add_three, episodes=20, seed=9))
    few = told(await collect(Dice, add_three, episodes=5, seed=9))
    assert many[:5] == few
    assert [one[1] for one in many] == [episode_seed(9, index) for index in range(20)]


def test_the_command_s_own_policy_draws_the_same_actions_for_an_episode(tmp_path: Path) -> None:
    recorded = []
    for concurrency in ("1", "16"):
        name = f"x{concurrency}.jsonl"
        run = openenv(
            *("collect", "tests.environments:Counter", "--episodes", "20", "--max-turns", "4"),
            *("--seed", "5", "--concurrency", concurrency, "--out", name),
            cwd=tmp_path,
        )
        assert run.returncode == 0, run.stderr
        recorded.append(told(read(tmp_path / name)))
    assert recorded[0] == recorded[1]
    assert len({str(turns) for _, _, turns, *_ in recorded[0]}) == 20


def test_a_sampler_does_not_draw_what_its_environment_draws() -> None:
    schema = {"type": "integer", "minimum": 0, "maximum": 10**9}
    seed = episode_seed(5, 0)
    drawn = ActionSampler(schema).for_episode("x", seed)()
    assert drawn == ActionSampler(schema).for_episode("y", seed)()
    assert drawn != ActionSampler(schema, seed)()
    assert drawn != random.Random(seed).randint(0, 10**9)


def test_without_a_seed_every_episode_draws_anew() -> None:
    sampler = ActionSampler(codec_for(EchoAction).json_schema())
    drawn = [[sampler.for_episode("x", None)().get("message") for _ in range(3)] for _ in range(9)]
    assert len(set(itertools.chain(*drawn))) > 9


# ---- policies that remember


class Remembering:
    """Each of its episodes counts its own turns."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int | None]] = []

    def for_episode(self, episode_id: str, seed: int | None) -> Any:
        self.begun.append((episode_id, seed))
        turns = itertools.count()

        async def policy(observation: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"add": next(turns)}

        return policy


@pytest.mark.parametrize("timeout_s", [None, 20.0])
async def test_a_policy_may_have_a_memory_for_each_episode(timeout_s: float | None) -> None:
    policy = Remembering()
    run = await collect(
        Dice, policy, episodes=20, concurrency=10, seed=1, policy_timeout_s=timeout_s
    )
    assert run.failures == 0
    for episode in run:
        assert [turn.action["add"] for turn in episode.turns] == list(range(episode.length))
    assert sorted(policy.begun) == sorted((one.episode_id, one.seed) for one in run)


async def test_an_episode_whose_policy_cannot_be_made_fails_alone() -> None:
    class Choosy(Remembering):
        def for_episode(self, episode_id: str, seed: int | None) -> Any:
            if seed == episode_seed(1, 3):
                raise LookupError("no prompt for this one")
            return super().for_episode(episode_id, seed)

    run = await collect(Dice, Choosy(), episodes=6, concurrency=2, seed=1)
    assert run.causes == {POLICY_FAILED: 1}
    [failed] = [one for one in run if one.error is not None]
    assert (failed.episode, failed.error and failed.error.type) == (3, "LookupError")


async def test_a_batched_policy_plays_all_episodes_itself() -> None:
    class Both(Remembering):
        batched = True

        def __call__(self, observations: list[Any]) -> list[Any]:
            return add_three_to_many(observations)

    policy = Both()
    assert (await collect(Dice, policy, episodes=3)).failures == 0
    assert policy.begun == []
