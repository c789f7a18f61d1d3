"""FrameChannel: what moves messages between two sides, and the pair that moves them in memory.

Knows nothing of what a message holds. client/websocket.py and server/connection.py have the ones
over real sockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

Data = bytes | str


class ChannelClosed(Exception):
    """The other side is gone, or this side was closed. `code` is a WebSocket close code."""

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason


class FrameChannel(Protocol):
    """Moves whole messages, in order, both ways.

    One task receives; sends are not called at the same time.
    """

    async def send(self, data: Data) -> None:
        """Send one message; wait while the other side is too slow. Raises ChannelClosed."""

    async def receive(self) -> Data:
        """Return the next message. Raises ChannelClosed."""

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close both directions; what was sent before is still delivered."""


class MemoryChannel:
    """One end of a pair in one event loop.

    Bounded, so that a sender cannot run away from its receiver.
    """

    def __init__(self, bound: int = 64) -> None:
        self._bound = bound
        self._messages: deque[Data] = deque()
        self._closed: ChannelClosed | None = None
        self._changed = asyncio.Event()
        self.other: MemoryChannel = self

    async def send(self, data: Data) -> None:
        """Send one message; wait while the other end has too many unread."""
        other = self.other
        while len(other._messages) >= self._bound and other._closed is None:
            other._changed.clear()
            await other._changed.wait()
        if self._closed or other._closed:
            raise self._closed or other._closed or ChannelClosed()
        other._messages.append(data)
        other._changed.set()

    async def receive(self) -> Data:
        """Return the next message."""
        while not self._messages:
            if self._closed is not None:
                raise self._closed
            self._changed.clear()
            await self._changed.wait()
        data = self._messages.popleft()
        self._changed.set()
        return data

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close both ends; the other one may still read what was sent before."""
        for end in (self, self.other):
            end._closed = end._closed or ChannelClosed(code, reason)
            end._changed.set()


def memory_pair() -> tuple[MemoryChannel, MemoryChannel]:
    """Return two connected ends."""
    one, two = MemoryChannel(), MemoryChannel()
    one.other, two.other = two, one
    return one, two
