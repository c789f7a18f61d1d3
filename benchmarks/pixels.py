"""An environment whose observations are images, and its client.

As users of ours write it: a numpy array in a field, which travels as bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openenv.client.env import EnvClient
from openenv.environment import Environment
from openenv.models import Action, State

SHAPES = {"100kB": (210, 160, 3), "1MB": (700, 500, 3)}
"An Atari screen of 100,800 bytes, and 1,050,000 bytes."


@dataclass(kw_only=True)
class Press(Action):
    """A button."""

    button: int = 0


@dataclass
class Screen:
    """Height x width x colours, uint8."""

    pixels: NDArray[np.uint8]
    reward: float | None = None
    done: bool = False


class Pixels(Environment[Press, Screen, State]):
    """Another image at each step, of no colour that compresses."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"
    shape = SHAPES["100kB"]

    def __init__(self) -> None:
        noise = np.random.default_rng(0)
        self._images = [noise.integers(0, 256, self.shape, np.uint8) for _ in range(4)]
        self._turn = 0

    def reset(self, seed: int | None = None) -> Screen:
        """Begin an episode."""
        return self._next()

    def step(self, action: Press) -> Screen:
        """Show the next image."""
        return self._next()

    def _next(self) -> Screen:
        self._turn = (self._turn + 1) % len(self._images)
        return Screen(self._images[self._turn], reward=0.0)


class LargePixels(Pixels):
    """The same, ten times as large."""

    shape = SHAPES["1MB"]


class PixelsEnv(EnvClient[Press, Screen, State]):
    """The client."""


ENVIRONMENTS: dict[str, Any] = {"100kB": Pixels, "1MB": LargePixels}
