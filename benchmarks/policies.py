"""What the sample policies of the environments earn, beside actions drawn at random.

Both play episodes of the same seeds, in this process, through `collect`. An environment's policy.py
says which tasks are played, how many episodes tell skill from chance, and for how many turns.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from rich.table import Table

from openenv.rollout.collect import collect, episode_seed
from openenv.rollout.source import in_process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.tape import Subject
    from openenv.client.pool import Pool

EPISODES = 20
MAX_TURNS = 1_000
AT_ONCE = 4
SURE = 2.0
"How many standard errors a difference must have to be one."


@dataclass(frozen=True)
class Returns:
    """Mean returns of a task, and the standard error of their difference, seed by seed."""

    environment: str
    task: str
    episodes: int
    random: float
    policy: float
    error: float

    @property
    def is_better(self) -> bool:
        """Whether the policy earns more, and not by chance."""
        return self.policy - self.random > SURE * self.error


def compare(subject: Subject) -> list[Returns]:
    """Play all tasks of an environment's policy."""
    module = subject.policy
    return [] if module is None else asyncio.run(_compare(subject, module))


async def _compare(subject: Subject, module: Any) -> list[Returns]:
    episodes = getattr(module, "EPISODES", EPISODES)
    turns = getattr(module, "MAX_TURNS", MAX_TURNS)
    found = []
    async with in_process(subject.registry) as pool:
        for task, options in subject.tasks.items():
            drawn, played = [
                await _play(subject, pool, policy, episodes, turns, options)
                for policy in (subject.sampler(0), module.sample_policy)
            ]
            gains = [one - other for one, other in zip(played, drawn, strict=True)]
            found.append(
                Returns(
                    environment=subject.manifest.name,
                    task=task,
                    episodes=episodes,
                    random=fmean(drawn),
                    policy=fmean(played),
                    error=stdev(gains) / math.sqrt(episodes),
                )
            )
    return found


async def _play(
    subject: Subject, pool: Pool, policy: Any, episodes: int, turns: int, options: dict[str, Any]
) -> list[float]:
    """Return the returns, seed by seed. Raises RuntimeError if an episode fails."""
    returns: list[float] = []
    # A few at a time: their observations are kept until they have ended, and may be images.
    for first in range(0, episodes, AT_ONCE):
        collection = await collect(
            pool,
            policy,
            episodes=min(AT_ONCE, episodes - first),
            seed=episode_seed(0, first),
            max_turns=turns,
            client_cls=subject.client,
            reset_options=options,
            progress=False,
        )
        if collection.failures:
            raise RuntimeError(f"{subject.manifest.name}: episodes failed: {collection.causes}")
        returns += [one.return_ for one in collection]
    return returns


def table(found: Sequence[Returns]) -> Table:
    """Return a line for each task."""
    shown = Table(title="Mean return", title_justify="left")
    for name in ("environment", "task"):
        shown.add_column(name, no_wrap=True)
    for name in ("episodes", "random", "sample policy", "gain", "better"):
        shown.add_column(name, justify="right")
    for one in found:
        shown.add_row(
            *(one.environment, one.task, str(one.episodes)),
            *(f"{value:,.2f}" for value in (one.random, one.policy)),
            f"{one.policy - one.random:,.2f} ± {one.error:.2f}",
            "yes" if one.is_better else "NO",
        )
    return shown
