"""Rubrics in environments: the reward, its parts in the metadata, and where they are computed."""

import asyncio
import gc
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.models import Observation, State
from openenv.recording import read
from openenv.rollout.collect import collect
from openenv.rubrics import Rubric, Sequential, TrajectoryRubric, WeightedSum
from tests.interaction.worlds import NATIVE, world
from tests.patience import within


class Polite(Rubric):
    def forward(self, action: Any, observation: Any) -> float:
        return float("please" in action["text"])


class Short(Rubric):
    threads: ClassVar[set[int]] = set()

    def forward(self, action: Any, observation: Any) -> float:
        self.threads.add(threading.get_ident())
        return 1.0 if len(action["text"]) < 20 else 0.5


class Thoughtful(Rubric):
    async def forward(self, action: Any, observation: Any) -> float:
        await asyncio.sleep(0)
        return 0.5


@dataclass(kw_only=True)
class Said(Observation):
    text: str = ""


class Chat(Environment[dict[str, Any], Said, State]):
    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def __init__(self) -> None:
        super().__init__(rubric=Sequential(Polite(), Short()))

    def reset(self) -> Said:
        self._reset_rubric()
        return Said()

    def step(self, action: dict[str, Any]) -> Said:
        said = Said(text=action["text"])
        said.reward = self._apply_rubric(action, said)
        return said


class ChatOnThread(Chat):
    execution = "thread"


class ChatInProcess(Chat):
    execution = "process"


class ChatAsync(Chat):
    def __init__(self) -> None:
        judged = WeightedSum([Thoughtful(), Short()], [0.5, 0.5])
        self.rubric = Sequential(Polite(), Short(), judged, Short())

    async def step(self, action: dict[str, Any]) -> Said:
        said = Said(text=action["text"])
        said.reward = await self._apply_rubric_async(action, said)
        return said


@pytest.mark.parametrize("transport", NATIVE)
@pytest.mark.parametrize("environment", [Chat, ChatOnThread, ChatInProcess])
async def test_the_parts_of_a_reward_are_in_the_metadata(transport: str, environment: type) -> None:
    async with world(transport, environment) as one, within(10):
        env = await one.client()
        await env.reset()
        result = await env.step({"text": "tell me a long story, please"})
        assert result.reward == 0.5
        assert result.metadata == {"rubric.rubric_0": 1.0, "rubric.rubric_1": 0.5}
        # The second rubric is not asked any more.
        result = await env.step({"text": "now"})
        assert (result.reward, result.metadata) == (0.0, {"rubric.rubric_0": 0.0})


async def test_an_async_environment_keeps_its_rubric_off_the_event_loop() -> None:
    async with world("memory", ChatAsync) as one, within(10):
        env = await one.client()
        await env.reset()
        Short.threads.clear()
        result = await env.step({"text": "a story, please"})
        assert result.reward == 1.0
        assert result.metadata["rubric.rubric_2"] == 0.75
        assert result.metadata["rubric.rubric_2.rubric_0"] == 0.5
        assert Short.threads
        assert threading.get_ident() not in Short.threads


def test_a_function_is_a_rubric_that_has_nothing_to_reset() -> None:
    chat = Chat()
    chat.rubric = lambda action, said: len(said.text) / 10
    chat.reset()
    assert chat.step({"text": "a story"}).reward == 0.7


def test_an_async_rubric_of_a_synchronous_step_is_refused() -> None:
    class Hasty(Chat):
        def __init__(self) -> None:
            self.rubric = Thoughtful()

    # Python itself says, too, that nobody awaits it.
    with warnings.catch_warnings(action="ignore"):
        with pytest.raises(ConfigurationError, match="await _apply_rubric_async"):
            Hasty().step({"text": ""})
        gc.collect()


async def test_recordings_hold_the_parts_of_each_reward(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    await collect(Chat, lambda _: {"text": "please"}, episodes=1, max_turns=2, out=path)
    [episode] = read(path)
    parts = {"rubric.rubric_0": 1.0, "rubric.rubric_1": 1.0}
    assert [turn.metadata for turn in episode.turns[-2:]] == [parts, parts]


def test_observations_that_are_dicts_get_metadata_of_their_own() -> None:
    class Plain(Environment[dict[str, Any], dict[str, Any], State]):
        rubric = Sequential(Polite())

    seen: dict[str, Any] = {"text": "hello", "metadata": {"kept": 1}}
    assert Plain()._apply_rubric({"text": "please"}, seen) == 1.0
    assert seen["metadata"] == {"kept": 1, "rubric.rubric_0": 1.0}


async def test_a_rubric_of_whole_episodes_forgets_the_last_one_at_reset() -> None:
    class Length(TrajectoryRubric):
        def score_trajectory(self, trajectory: Any) -> float:
            return float(len(trajectory))

    class Counted(Chat):
        def __init__(self) -> None:
            self.rubric = Length()

        def step(self, action: dict[str, Any]) -> Said:
            said = Said(done=action["text"] == "bye")
            said.reward = self._apply_rubric(action, said)
            return said

    async with world("memory", Counted) as one, within(10):
        env = await one.client()
        for _ in range(2):
            await env.reset()
            rewards = [(await env.step({"text": text})).reward for text in ("hi", "so", "bye")]
            assert rewards == [0.0, 0.0, 3.0]
