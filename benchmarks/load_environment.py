"""Plays an environment's tape: `python -m benchmarks.load_environment FOLDER raw|wire`.

Announces {"versions"}, then answers the requests that closed_loop.py of the peers describes. `raw`
calls the environment in this process; `wire` plays on the server that the request names.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

import openenv
from benchmarks.peers.programs.closed_loop import Lane, answer_requests
from benchmarks.peers.programs.listening import announce, versions
from benchmarks.tape import Player, Subject, Tape, check, record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LOOK_S = 0.002
"Between two looks at the clock, which is on the same event loop as what is measured."

_FOLDER, _WAY = sys.argv[1:3]
_SUBJECT = Subject(Path(_FOLDER))
_tapes: list[Tape] = []


async def _tape() -> Tape:
    """Return the tape, which is recorded for the first request."""
    if not _tapes:
        _tapes.append(await record(_SUBJECT))
    return _tapes[0]


@asynccontextmanager
async def _raw(_: str, sessions: int) -> AsyncIterator[list[Lane]]:
    """As many environments as there are sessions elsewhere: they share the core's caches."""
    tape = await _tape()
    make = _SUBJECT.registry.spec.factory
    players = [Player(make(), tape) for _ in range(sessions)]
    steps = max(1, round(_LOOK_S * len(tape.actions) / tape.took_s))
    turns = itertools.cycle(players)

    async def step() -> None:
        for _ in range(steps):
            await next(turns).step()
        await asyncio.sleep(0)

    try:
        await check(players[0], tape)
        for player in players:
            await player.step()
        yield [Lane(step, episodes=steps)]
    finally:
        for player in players:
            await player.close()


@asynccontextmanager
async def _wire(url: str, sessions: int) -> AsyncIterator[list[Lane]]:
    tape = await _tape()
    async with openenv.connect(url, message_timeout_s=60.0) as pool:
        players = [Player(env, tape) for env in await pool.sessions(sessions, _SUBJECT.client)]
        await check(players[0], tape)
        # So that nobody begins while the clocks run: that may be slow.
        await asyncio.gather(*(player.step() for player in players))
        yield [Lane(player.step) for player in players]


def main() -> None:
    """Serve requests until standard input ends."""
    announce({"versions": versions()})
    answer_requests({"raw": _raw, "wire": _wire}[_WAY], uvloop.run)


if __name__ == "__main__":
    main()
