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
from envs.echo_env import EchoAction, EchoEnv, EchoObservation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from openenv.models import StepResult

_CONNECTIONS = 2
_OPENED_AT_ONCE = 32


def _stepping(env: EchoEnv) -> Lane:
    async def check() -> None:
        result = await env.step(EchoAction(message=MESSAGE))
        if result.observation.echoed_message != MESSAGE:
            raise RuntimeError(f"the server echoed {result.observation.echoed_message!r}")

    return Lane(lambda: env.step(EchoAction(message=MESSAGE)), check=check)


@asynccontextmanager
async def _pool_of(url: str, sessions: int) -> AsyncIterator[tuple[openenv.Pool, list[EchoEnv]]]:
    async with openenv.connect(url, connections=_CONNECTIONS) as pool:
        envs = await pool.sessions(sessions, EchoEnv)
        await pool.reset_many(envs)
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

        async def step() -> list[StepResult[EchoObservation]]:
            return await pool.step_many(envs, [EchoAction(message=MESSAGE) for _ in envs])

        async def check() -> None:
            echoed = {result.observation.echoed_message for result in await step()}
            if echoed != {MESSAGE}:
                raise RuntimeError(f"the server echoed {echoed!r}")

        yield [Lane(step, episodes=sessions, check=check)]


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
