"""Puts load on serve_pixels: `python -m benchmarks.load_pixels 100kB|1MB multiplexed|sockets`.

Announces {"versions"}, then answers the requests that closed_loop.py of the peers describes.
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import uvloop

import openenv
from benchmarks.peers.programs.closed_loop import Lane, answer_requests
from benchmarks.peers.programs.listening import announce, versions
from benchmarks.pixels import SHAPES, PixelsEnv, Press

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SIZE, _WAY = sys.argv[1:3]


def _lane(env: PixelsEnv) -> Lane:
    async def check() -> None:
        pixels = (await env.step(Press(button=1))).observation.pixels
        # Noise: an image that arrives as something else has another mean.
        if pixels.shape != SHAPES[_SIZE] or not 126 < pixels.mean() < 129:
            raise RuntimeError(f"that is another image: {pixels.shape}, mean {pixels.mean()}")

    return Lane(lambda: env.step(Press(button=1)), check=check)


@asynccontextmanager
async def _lanes(url: str, sessions: int) -> AsyncIterator[list[Lane]]:
    async with AsyncExitStack() as stack:
        if _WAY == "multiplexed":
            pool = await stack.enter_async_context(openenv.connect(url))
            envs = await pool.sessions(sessions, PixelsEnv)
        else:
            envs = [
                await stack.enter_async_context(PixelsEnv(base_url=url)) for _ in range(sessions)
            ]
        for env in envs:
            await env.reset()
        yield [_lane(env) for env in envs]


def main() -> None:
    """Serve requests until standard input ends."""
    announce({"versions": versions()})
    answer_requests(_lanes, uvloop.run)


if __name__ == "__main__":
    main()
