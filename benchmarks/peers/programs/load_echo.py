# mypy: ignore-errors
# Run by a published release's own interpreter, whose `openenv` is not the one mypy sees.
# ruff: noqa: D103 - what these do is in openenv's own documentation
"""Puts load on an echo server with a published release's own client: one socket per session.

Announces {"versions"}, then answers the requests that closed_loop describes.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import uvloop
from closed_loop import MESSAGE, Lane, answer_requests
from echo_client import EchoAction, EchoEnv
from listening import announce, versions

_OPENED_AT_ONCE = 32


@asynccontextmanager
async def sessions(url, count):
    gate = asyncio.Semaphore(_OPENED_AT_ONCE)
    async with AsyncExitStack() as stack:

        async def opened():
            async with gate:
                env = await stack.enter_async_context(EchoEnv(base_url=url))
                await env.reset()
                return env

        envs = await asyncio.gather(*(opened() for _ in range(count)))
        yield [_lane(env) for env in envs]


def _lane(env):
    async def check():
        echoed = (await env.step(EchoAction(message=MESSAGE))).observation.echoed_message
        assert echoed == MESSAGE, f"the server echoed {echoed!r}"

    return Lane(lambda: env.step(EchoAction(message=MESSAGE)), check=check)


if __name__ == "__main__":
    announce({"versions": versions()})
    answer_requests(sessions, uvloop.run)
