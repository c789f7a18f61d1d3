"""Watches all sessions of a server: `python -m benchmarks.spectate URL SPECTATORS`.

Announces {"spectators"} when each has its first event, and watches until standard input ends.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing

import uvloop

import openenv
from benchmarks.peers.programs.listening import announce


async def _watch(url: str, is_watching: asyncio.Event) -> None:
    async with aclosing(openenv.watch(url)) as events:  # type: ignore[type-var]
        async for _ in events:
            is_watching.set()


async def _watch_all(url: str, spectators: int) -> None:
    watching = [asyncio.Event() for _ in range(spectators)]
    tasks = [asyncio.create_task(_watch(url, one)) for one in watching]
    await asyncio.gather(*(one.wait() for one in watching))
    announce({"spectators": spectators})
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def main() -> None:
    """Watch until standard input ends."""
    uvloop.run(_watch_all(sys.argv[1], int(sys.argv[2])))


if __name__ == "__main__":
    main()
