"""Environments of Gymnasium as ours, to be compared with what they do in this process."""

from typing import Any

import gymnasium
import numpy as np

from benchmarks.cart_pole import CartPole, CartPoleEnv

__all__ = ["CartPole", "CartPoleEnv", "TellingCartPole", "make_cart_pole"]


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


class TellingCartPole(CartPole):
    """CartPole-v1 with infos and a short time limit."""

    def make(self) -> Any:
        return make_cart_pole(telling=True, max_steps=20)
