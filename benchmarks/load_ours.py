"""Puts load on an echo server with our own public client, in one of the ways to use it.

`python -m benchmarks.load_ours WAY` announces {"versions"}, then answers the requests that
closed_loop.py of the peers describes. Every way plays the same steps; they differ in how
sessions reach the server, and in how many steps one call carries.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import uvloop

import openenv
from benchmarks.peers.programs.closed_loop import MESSAGE, Lane, answer_requests
from benchmarks.peers.programs.listening import announce, versions
from envs.echo_env import EchoAction, EchoEnv

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

_CONNECTIONS = 2
_OPENED_AT_ONCE = 32


async def _checked(envs: Sequence[EchoEnv]) -> None:
    """Play one step in every session, so that no row measures anything but echoes."""
    for env in envs:
        result = await env.step(EchoAction(message=MESSAGE))
        if result.observation.echoed_message != MESSAGE:
            raise RuntimeError(f"the server echoed {result.observation.echoed_message!r}")


def _stepping(env: EchoEnv) -> Lane:
    return Lane(lambda: env.step(EchoAction(message=MESSAGE)))


@asynccontextmanager
async def _pool_of(url: str, sessions: int) -> AsyncIterator[tuple[openenv.Pool, list[EchoEnv]]]:
    async with openenv.connect(url, connections=_CONNECTIONS) as pool:
        envs = await asyncio.gather(*(pool.session(EchoEnv) for _ in range(sessions)))
        await pool.reset_many(envs)
        await _checked(envs)
        yield pool, envs


@asynccontextmanager
async def multiplexed(url: str, sessions: int) -> AsyncIterator[list[Lane]]:
    """All sessions on two connections; one coroutine per session awaits its own steps."""
    async with _pool_of(url, sessions) as (_, envs):
        yield [_stepping(env) for env in envs]


@asynccontextmanager
async def step_many(url: str, sessions: int) -> AsyncIterator[list[Lane]]:
    """All sessions on two connections; one call steps them all."""
    async with _pool_of(url, sessions) as (pool, envs):
        yield [
            Lane(
                lambda: pool.step_many(envs, [EchoAction(message=MESSAGE) for _ in envs]),
                episodes=sessions,
            )
        ]


@asynccontextmanager
async def sockets(url: str, sessions: int) -> AsyncIterator[list[Lane]]:
    """One socket per session, as an EnvClient alone does."""
    gate = asyncio.Semaphore(_OPENED_AT_ONCE)
    async with AsyncExitStack() as stack:

        async def opened() -> EchoEnv:
            async with gate:
                env = await stack.enter_async_context(EchoEnv(base_url=url))
                await env.reset()
                return env

        envs = await asyncio.gather(*(opened() for _ in range(sessions)))
        await _checked(envs)
        yield [_stepping(env) for env in envs]


_WAYS: dict[str, Callable[[str, int], AbstractAsyncContextManager[list[Lane]]]] = {
    way.__name__: way for way in (multiplexed, step_many, sockets)
}


def main() -> None:
    """Serve requests until standard input ends."""
    way = _WAYS[sys.argv[1]]
    announce({"versions": versions()})
    answer_requests(way, uvloop.run)


if __name__ == "__main__":
    main()
