"""Reconnecting: when to try again after a lost socket, when to stop, and what to say then.

Knows nothing of sockets and requests; connection.py asks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from openenv.backoff import random_pause_s
from openenv.errors import ConnectionLost
from openenv.protocol.frames import CLOSE_FENCED, CLOSE_PROTOCOL_ERROR

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openenv.protocol.link import Link

BASE_S = 0.05
CAP_S = 2.0

FATAL_CLOSE_CODES = {
    CLOSE_FENCED: "",
    CLOSE_PROTOCOL_ERROR: "",
    1007: "",
    1009: ": it takes smaller messages than its hello says, as with uvicorn's --ws-max-size",
}
"Codes after which sending the same again is of no use, and what there is to say of them."


class ReconnectPolicy:
    """The attempts to bring one link back; sockets without progress share grace and backoff."""

    def __init__(self) -> None:
        self._progress: tuple[int, int] | None = None
        self._give_up_at_s = 0.0
        self._count = 0
        self.how_it_ended: Callable[[], Awaitable[str | None]] | None = None
        "Asked of those who have started the server: there are no attempts after its end."
        self.ended = ""
        "What they said."

    def begin(self, link: Link, grace_s: float) -> None:
        """Begin to count, unless the socket that was just lost was of no use."""
        progress = (link.acknowledged, link.received)
        if progress != self._progress:
            self._progress = progress
            self._give_up_at_s = asyncio.get_running_loop().time() + grace_s
            self._count = 0

    async def wait(self) -> bool:
        """Wait before the next attempt; False if there must be none."""
        left_s = self._give_up_at_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            return False
        if self.how_it_ended is not None:
            self.ended = await self.how_it_ended() or ""
            if self.ended:
                return False
        pause_s = random_pause_s(self._count, BASE_S, CAP_S)
        self._count += 1
        await asyncio.sleep(min(left_s, pause_s))
        return True


def lost_link(why: str, link: Link) -> ConnectionLost:
    """Return what is told to everybody who had a session on a link that is gone."""
    message = f"the connection was lost, and its sessions with it: {why}"
    return ConnectionLost(message, link.sent, link.received)
