"""Steps 64 CartPoles, or as many as are asked for, as one vector: ours, or one of Gymnasium's.

`python -m benchmarks.load_vectors WAY` announces {"versions"}, then answers the requests that
closed_loop.py of the peers describes. All ways take the same actions and begin with the same seeds;
Gymnasium's own vectors do not use the server.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import uvloop
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

import openenv
from benchmarks.cart_pole import CartPoleEnv, make_cart_pole
from benchmarks.peers.programs.closed_loop import Lane, answer_requests
from benchmarks.peers.programs.listening import announce, versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_SEED = 1
_TURNS = 997


def _actions(sessions: int) -> Any:
    """Return the actions of one turn after another; making them up would be part of a step."""
    return cycle(np.random.default_rng(_SEED).integers(0, 2, (_TURNS, sessions)))


@asynccontextmanager
async def ours(url: str, sessions: int) -> AsyncIterator[list[Lane]]:
    """Our vector, on two connections."""
    actions = _actions(sessions)
    async with openenv.connect(url) as pool, pool.vector(sessions, CartPoleEnv) as vector:
        await vector.reset(seed=_SEED)
        yield [Lane(lambda: vector.step(next(actions)), episodes=sessions)]


@asynccontextmanager
async def halves(url: str, sessions: int) -> AsyncIterator[list[Lane]]:
    """Our vector, sent and received: one half is stepped while the other's results are read."""
    actions, count = _actions(sessions), sessions // 2
    async with openenv.connect(url) as pool, pool.vector(sessions, CartPoleEnv) as vector:
        await vector.async_reset(seed=_SEED)

        async def step() -> None:
            *_, infos = await vector.recv(count)
            await vector.send(next(actions)[:count], infos["env_id"])

        yield [Lane(step, episodes=count)]
        await vector.recv()


@asynccontextmanager
async def _local(vector: Any, sessions: int) -> AsyncIterator[list[Lane]]:
    actions = _actions(sessions)

    async def step() -> None:
        vector.step(next(actions))
        # The clock is on this event loop, too.
        await asyncio.sleep(0)

    try:
        vector.reset(seed=_SEED)
        yield [Lane(step, episodes=sessions)]
    finally:
        vector.close()


def gymnasium_sync(url: str, sessions: int) -> AbstractAsyncContextManager[list[Lane]]:
    """Gymnasium's vector in this process."""
    return _local(SyncVectorEnv([make_cart_pole] * sessions), sessions)


def gymnasium_async(url: str, sessions: int) -> AbstractAsyncContextManager[list[Lane]]:
    """Gymnasium's vector with a process for each environment, on all cores."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    return _local(AsyncVectorEnv([make_cart_pole] * sessions), sessions)


_WAYS: dict[str, Callable[[str, int], AbstractAsyncContextManager[list[Lane]]]] = {
    way.__name__: way for way in (ours, halves, gymnasium_sync, gymnasium_async)
}


def main() -> None:
    """Serve requests until standard input ends."""
    way = _WAYS[sys.argv[1]]
    found = versions() | {name: version(name) for name in ("gymnasium", "numpy")}
    announce({"versions": found})
    answer_requests(way, uvloop.run)


if __name__ == "__main__":
    main()
