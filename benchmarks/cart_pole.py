"""Gymnasium's CartPole-v1 as an environment of ours, and its client."""

from __future__ import annotations

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
    """Left is 0, right is 1."""

    action: int


@dataclass(slots=True)
class Seen:
    """Where cart and pole are, and how fast they move."""

    observation: NDArray[np.float32]
    reward: float | None = None
    done: bool = False
    truncated: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


def make_cart_pole() -> Any:
    """Return what both sides of a comparison use."""
    return gymnasium.make("CartPole-v1")


class CartPole(Environment[Move, Seen, State]):
    """CartPole-v1 as it is."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def __init__(self) -> None:
        self.env = self.make()

    def make(self) -> Any:
        """Return Gymnasium's environment."""
        return make_cart_pole()

    def reset(self, seed: int | None = None, **options: Any) -> Seen:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options or None)
        return Seen(observation, metadata=info)

    def step(self, move: Move) -> Seen:
        """Push the cart."""
        # What Gymnasium's own vectors pass: it checks a plain int in twice the time.
        return Seen(*self.env.step(np.int64(move.action)))

    def close(self) -> None:
        """Let go of it."""
        self.env.close()


class CartPoleEnv(EnvClient[Move, Seen, State]):
    """The client."""
