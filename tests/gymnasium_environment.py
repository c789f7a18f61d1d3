"""Environments of Gymnasium as ours, to be compared with what they do in this process."""

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from openenv.client.env import EnvClient
from openenv.environment import Environment
from openenv.models import State


@dataclass
class Move:
    action: int


@dataclass
class Seen:
    observation: NDArray[np.float32]
    reward: float | None = None
    done: bool = False
    truncated: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


class Telling(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Says something in its infos, and not always the same things."""

    count = 0

    def reset(self, **keywords: Any) -> Any:
        self.count = 0
        observation, info = super().reset(**keywords)
        return observation, {**info, "phase": "begun", "nested": {"count": 0}}

    def step(self, action: Any) -> Any:
        self.count += 1
        *outcome, info = super().step(action)
        info = {**info, "count": self.count, "twice": np.array([self.count, 2.0 * self.count])}
        if self.count % 3 == 0:
            info |= {"third": self.count / 3, "nested": {"count": self.count, "name": "x"}}
        return *outcome, info


def make_cart_pole(*, telling: bool = False, max_steps: int | None = None) -> Any:
    env = gymnasium.make("CartPole-v1", max_episode_steps=max_steps)
    return Telling(env) if telling else env


class CartPole(Environment[Move, Seen, State]):
    """CartPole-v1 as it is."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def __init__(self) -> None:
        self.env = self.make()

    def make(self) -> Any:
        return make_cart_pole()

    def reset(self, seed: int | None = None, **options: Any) -> Seen:
        observation, info = self.env.reset(seed=seed, options=options or None)
        return Seen(observation, metadata=info)

    def step(self, move: Move) -> Seen:
        observation, reward, terminated, truncated, info = self.env.step(move.action)
        return Seen(observation, float(reward), terminated, truncated, info)

    def close(self) -> None:
        self.env.close()


class TellingCartPole(CartPole):
    """CartPole-v1 with infos and a short time limit."""

    def make(self) -> Any:
        return make_cart_pole(telling=True, max_steps=20)


class CartPoleEnv(EnvClient[Move, Seen, State]):
    """The client of both."""
