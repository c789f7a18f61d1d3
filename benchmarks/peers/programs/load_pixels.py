# mypy: ignore-errors
# Run by a published release's own interpreter, whose `openenv` is not the one mypy sees.
# ruff: noqa: D101, D103, RUF012 - what these do is in openenv's own documentation
"""Puts load on serve_pixels with a published release's own client: one socket per session.

`load_pixels.py BYTES` announces {"versions"}, then answers the requests that closed_loop describes.
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack, asynccontextmanager

import uvloop
from closed_loop import Lane, answer_requests
from listening import announce, versions

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient
from openenv.core.env_server.types import Action, Observation, State

SIZE_BYTES = int(sys.argv[1])


class Press(Action):
    button: int = 0


class Screen(Observation):
    pixels: list[int] = []


class PixelsEnv(EnvClient[Press, Screen, State]):
    def _step_payload(self, action):
        return {"button": action.button}

    def _parse_result(self, payload):
        observation = payload.get("observation", {})
        return StepResult(
            observation=Screen(
                pixels=observation.get("pixels", []),
                done=payload.get("done", False),
                reward=payload.get("reward"),
            ),
            reward=payload.get("reward"),
            done=payload.get("done", False),
        )

    def _parse_state(self, payload):
        return State(**payload)


@asynccontextmanager
async def sessions(url, count):
    async with AsyncExitStack() as stack:
        envs = [await stack.enter_async_context(PixelsEnv(base_url=url)) for _ in range(count)]
        for env in envs:
            await env.reset()
        yield [_lane(env) for env in envs]


def _lane(env):
    async def check():
        pixels = (await env.step(Press(button=1))).observation.pixels
        assert len(pixels) == SIZE_BYTES, f"an image of {len(pixels)} bytes"

    return Lane(lambda: env.step(Press(button=1)), check=check)


if __name__ == "__main__":
    announce({"versions": versions()})
    answer_requests(sessions, uvloop.run)
