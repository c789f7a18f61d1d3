"""An episode of any environment, recorded once and played again: the same steps in every row.

Actions are drawn from their schema; drawing them while the clock runs would be measured, too. Knows
an environment by its folder alone: manifest, app, client, and the tasks of its policy.
"""

from __future__ import annotations

import importlib
import inspect
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv.cli.commands.serve import load_app
from openenv.manifest import read_manifest
from openenv.rollout.sampler import ActionSampler
from openenv.server.serve import registry_of
from openenv.server.target import load_member

if TYPE_CHECKING:
    from types import ModuleType

    from openenv.manifest import Manifest
    from openenv.server.sessions.registry import SessionRegistry

CHECKOUT = Path(__file__).resolve().parents[1]
SEED = 7
MAX_STEPS = 100
MAX_S = 2.0
"A tape ends here, or where its episode does."


@dataclass(frozen=True)
class Subject:
    """An environment of this checkout."""

    folder: Path

    @cached_property
    def manifest(self) -> Manifest:
        """What it says of itself."""
        return read_manifest(self.folder)

    @cached_property
    def registry(self) -> SessionRegistry:
        """What its app serves."""
        found = registry_of(load_app(str(self.folder)))
        assert found is not None, f"{self.folder} serves an app that is not openenv's"
        return found

    @cached_property
    def client(self) -> Any:
        """The class of its client."""
        return load_member(self.folder, self.manifest.client or "client:EnvClient")

    @cached_property
    def policy(self) -> ModuleType | None:
        """The module of its sample policy; None where there is nothing to learn."""
        if not (self.folder / "policy.py").is_file():
            return None
        return importlib.import_module(f"{self.client.__module__.rpartition('.')[0]}.policy")

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Options of reset, by name."""
        return getattr(self.policy, "TASKS", {"": {}})

    def sampler(self, seed: int) -> ActionSampler:
        """Return a policy that draws actions."""
        return ActionSampler(self.registry.spec.replies.action.json_schema(), seed)


def subjects() -> list[Subject]:
    """Return all environments of this checkout, by name."""
    return [Subject(path.parent) for path in sorted(CHECKOUT.glob("envs/*/openenv.yaml"))]


@dataclass
class Tape:
    """The actions of an episode, and what it was begun with."""

    options: dict[str, Any]
    actions: list[Any] = field(default_factory=list)
    rewards: list[float | None] = field(default_factory=list)
    took_s: float = 0.0


async def record(subject: Subject) -> Tape:
    """Play an episode of the environment's first task with drawn actions."""
    replies = subject.registry.spec.replies
    tape = Tape(next(iter(subject.tasks.values())))
    draw = subject.sampler(SEED)
    environment = subject.registry.spec.factory()
    try:
        began_s = time.perf_counter()
        observation = await _value(environment.reset(seed=SEED, **tape.options))
        while len(tape.actions) < MAX_STEPS and tape.took_s < MAX_S:
            action = replies.action.convert(draw(observation))
            observation = await _value(environment.step(action))
            tape.actions.append(action)
            tape.rewards.append(observation.reward)
            tape.took_s = time.perf_counter() - began_s
            if observation.done or observation.truncated:
                break
    finally:
        await _value(environment.close())
    return tape


class Player:
    """Plays a tape: in an environment, by calling it, or in a session, through its client."""

    def __init__(self, played: Any, tape: Tape) -> None:
        self._played = played
        self._tape = tape
        self._next = len(tape.actions)

    async def step(self) -> Any:
        """Make the next step of the tape, begun again where it has ended; return the reward."""
        tape, played = self._tape, self._played
        if self._next == len(tape.actions):
            await _value(played.reset(seed=SEED, **tape.options))
            self._next = 0
        action = tape.actions[self._next]
        self._next += 1
        return (await _value(played.step(action))).reward

    async def close(self) -> None:
        """Close what it plays in."""
        await _value(self._played.close())


async def check(player: Player, tape: Tape) -> None:
    """Play the tape once. Raises RuntimeError unless it is the same episode again."""
    rewards = [await player.step() for _ in tape.actions]
    if rewards != tape.rewards:
        raise RuntimeError(f"rewarded with {rewards}, but the tape with {tape.rewards}")


async def _value(outcome: Any) -> Any:
    return await outcome if inspect.isawaitable(outcome) else outcome
