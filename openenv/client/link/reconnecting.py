"""ReconnectPolicy: when to dial again after a lost socket, and when to give the link up.

Pure: it is told the time and waits for nothing. link.py dials and waits; the grace is what the
server's hello says (docs/reference/protocol.md).
"""

from __future__ import annotations

import random
from enum import Enum
from typing import TYPE_CHECKING

from openenv.backoff import pause_s
from openenv.errors import ConnectionLost
from openenv.protocol.frames import CLOSE_FENCED, CLOSE_PROTOCOL_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.protocol.link import Link

BASE_S = 0.05
CAP_S = 2.0

FATAL_CLOSE_CODES = {
    CLOSE_FENCED: "",
    CLOSE_PROTOCOL_ERROR: "",
    1007: "",
    1009: ": it takes smaller messages than its hello says, as with uvicorn's --ws-max-size",
}
"Close codes after which the same messages would fail again, and what to add to the error."


class Recovery(Enum):
    """What became of a link whose socket was lost."""

    RESUMED = "resumed"
    "A new socket carries the same link: sessions and pending requests go on."
    FRESH = "fresh"
    "A new socket carries a new link: the sessions of the old one are lost."
    GONE = "gone"
    "There is no socket any more, and requests raise the reason."


class ReconnectPolicy:
    """The attempts to replace the sockets of one link.

    Sockets that moved no message either way share one grace and one backoff: a server that accepts
    sockets and drops them is given up as if it did not answer.
    """

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self._progress: tuple[int, int] | None = None
        self._give_up_at_s = 0.0
        self._attempts = 0

    def socket_lost(self, progress: tuple[int, int], grace_s: float, now_s: float) -> None:
        """Begin a grace and a backoff, unless the lost socket made no progress.

        `progress` is how many messages the server has acknowledged and how many it has sent.
        """
        if progress != self._progress:
            self._progress = progress
            self._give_up_at_s = now_s + grace_s
            self._attempts = 0

    def next_delay_s(self, now_s: float) -> float | None:
        """Return how long to wait before the next attempt; None when the grace is over."""
        left_s = self._give_up_at_s - now_s
        if left_s <= 0:
            return None
        # Full jitter, so that the clients of a restarted server do not all dial at once.
        delay_s = self._jitter(0.0, pause_s(self._attempts, BASE_S, CAP_S))
        self._attempts += 1
        return min(left_s, delay_s)


def lost_link(reason: str, link: Link) -> ConnectionLost:
    """Return the error for everyone who had a session on a link that is gone."""
    message = f"the connection was lost, and its sessions with it: {reason}"
    return ConnectionLost(message, link.sent, link.received)
