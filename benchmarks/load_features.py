"""Puts load on serve_features: `python -m benchmarks.load_features SWITCH multiplexed|sockets`.

Announces {"versions"}, then answers the requests that closed_loop.py of the peers describes.
"""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.load_ours import multiplexed, sockets
from benchmarks.peers.program import running
from benchmarks.peers.programs.closed_loop import Lane, answer_requests
from benchmarks.peers.programs.listening import announce, versions
from benchmarks.switches import SWITCHES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.peers.programs.closed_loop import OpenLanes


@asynccontextmanager
async def _watched(
    way: OpenLanes, spectators: int, url: str, sessions: int
) -> AsyncIterator[list[Lane]]:
    """Open the lanes before spectators, who are to see all sessions."""
    async with way(url, sessions) as lanes:
        if not spectators:
            yield lanes
            return
        with running([sys.executable, "-m", "benchmarks.spectate", url, str(spectators)]):
            yield lanes


def main() -> None:
    """Serve requests until standard input ends."""
    switch = SWITCHES[sys.argv[1]]
    way = {"multiplexed": multiplexed, "sockets": sockets}[sys.argv[2]]
    switch.on_client()
    announce({"versions": versions()})
    answer_requests(partial(_watched, way, switch.spectators), switch.run)


if __name__ == "__main__":
    main()
