"""Each sample policy earns more than actions drawn at random, in a few episodes of each task.

How much more, `python -m benchmarks.environments --policies` measures in many.
"""

import asyncio
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from benchmarks.tape import Subject, subjects
from envs.atari_env import AtariObservation
from envs.atari_env.policy import sample_policy as follow_the_ball
from envs.openspiel_env import OpenSpielObservation
from envs.openspiel_env.policy import sample_policy as move_by_rules
from openenv.rollout.collect import collect
from openenv.rollout.source import in_process

EPISODES = {"openspiel_env": 60, "finrl_env": 20, "atari_env": 2}
"Six for the others."
MAX_TURNS = {"atari_env": 250}
WITHOUT = {
    "echo_env": "there is nothing to learn",
    "browsergym_env": "it needs a browser, and has tests of its own",
}
PLAYED = [one for one in subjects() if one.manifest.name not in WITHOUT]


async def returns(subject: Subject) -> list[tuple[str, float, float]]:
    """Return each task with what is earned on it at random, and by the policy."""
    assert subject.policy is not None, "give it a policy.py, as its neighbours have"
    found = []
    async with in_process(subject.registry) as pool:
        for task, options in subject.tasks.items():
            drawn, played = [
                await mean_return(subject, pool, policy, options)
                for policy in (subject.sampler(1), subject.policy.sample_policy)
            ]
            found.append((task, drawn, played))
    return found


async def mean_return(subject: Subject, pool: Any, policy: Any, options: dict[str, Any]) -> float:
    name = subject.manifest.name
    played = await collect(
        pool,
        policy,
        episodes=EPISODES.get(name, 6),
        concurrency=2,
        seed=3,
        max_turns=MAX_TURNS.get(name, getattr(subject.policy, "MAX_TURNS", 300)),
        client_cls=subject.client,
        reset_options=options,
        progress=False,
    )
    assert not played.failures, played.causes
    return fmean(one.return_ for one in played)


@pytest.mark.parametrize("subject", PLAYED, ids=lambda one: one.folder.name)
def test_a_sample_policy_beats_chance(subject: Subject) -> None:
    found = asyncio.run(returns(subject))
    assert found
    assert [task for task, drawn, played in found if played <= drawn] == []


def test_a_game_without_a_rule_is_played_nevertheless() -> None:
    seen = OpenSpielObservation(info_state_shape=[16], legal_actions=[2, 5])
    assert move_by_rules(seen).action_id == 2


@pytest.mark.parametrize("shape", [(210, 160), (210, 160, 3)])
def test_the_paddle_serves_where_there_is_no_ball(shape: tuple[int, ...]) -> None:
    names = ["NOOP", "FIRE", "RIGHT", "LEFT"]
    seen = AtariObservation(
        screen=np.zeros(shape, np.uint8), legal_actions=[0, 1, 2, 3], action_names=names
    )
    assert names[follow_the_ball(seen).action_id] == "FIRE"
    seen.screen[150:154, 40:42], seen.screen[189:193, 80:96] = 200, 200
    assert names[follow_the_ball(seen).action_id] == "LEFT"
