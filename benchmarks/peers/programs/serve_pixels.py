# mypy: ignore-errors
# Run by a published release's own interpreter, whose `openenv` is not the one mypy sees.
# ruff: noqa: D101, D102, RUF012 - what these do is in openenv's own documentation
"""Serves images as users of the published releases write them: a list of integers in a field.

`serve_pixels.py BYTES` announces {"url", "versions"} once it listens on a free port.
"""

from __future__ import annotations

import random
import sys

from listening import serve

from openenv.core.env_server import Action, Environment, Observation, State, create_app

SIZE_BYTES = int(sys.argv[1])


class Press(Action):
    button: int = 0


class Screen(Observation):
    pixels: list[int] = []


class Pixels(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        noise = random.Random(0)
        self._images = [list(noise.randbytes(SIZE_BYTES)) for _ in range(4)]
        self._turn = 0

    def reset(self, seed=None, episode_id=None, **kwargs):
        return self._next()

    def step(self, action, timeout_s=None, **kwargs):
        return self._next()

    @property
    def state(self):
        return State(step_count=self._turn)

    def _next(self):
        self._turn = (self._turn + 1) % len(self._images)
        return Screen(pixels=self._images[self._turn], done=False, reward=0.0)


if __name__ == "__main__":
    serve(create_app(Pixels, Press, Screen, env_name="pixels", max_concurrent_envs=64))
