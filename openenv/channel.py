"""FrameChannel: what moves messages between two sides, and the pair that moves them in memory.

Knows nothing of what a message holds. client/link/dialing.py and server/links/connection.py have
the ones over real sockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

Data = bytes | str

Listener = Callable[[Data], bool]
"Handles a message at once, or returns False: then `receive` returns it."

MAX_UNREAD = 16
"Messages that may wait for their reader before no more are read from the socket."


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


class DirectChannel(FrameChannel, Protocol):
    """A channel that can do without a task for each direction while nobody has to wait.

    Waking a task costs more than a step of a cheap environment.
    """

    def listen(self, listener: Listener) -> None:
        """Offer each message to the listener, in order; what it raises, `receive` raises."""

    @property
    def is_writable(self) -> bool:
        """Whether the other side keeps up, so that `write` may be called instead of `send`."""

    def write(self, data: Data) -> None:
        """Send one message without waiting. Raises ChannelClosed."""


def direct(channel: FrameChannel) -> DirectChannel | None:
    """Return the same channel if it can do without tasks, else None."""
    # Not by isinstance: of a protocol, that takes longer than to open a session.
    return cast("DirectChannel", channel) if hasattr(channel, "listen") else None


class Inbox:
    """The receiving half of a channel whose messages are pushed to it, in one event loop.

    While more than MAX_UNREAD messages wait for their reader, the `transport` that they are read
    from is paused, if there is one.
    """

    __slots__ = ("_closed", "_messages", "_waiter", "listener", "transport")

    def __init__(self, transport: asyncio.ReadTransport | None = None) -> None:
        self.transport = transport
        self.listener: Listener | None = None
        self._messages: deque[Data] = deque()
        self._closed: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def closed(self) -> Exception | None:
        """Why nothing more comes in; what did before can still be read."""
        return self._closed

    def put(self, data: Data) -> None:
        """Give a message to the listener, or to the reader if the listener refuses it.

        A message that comes while others wait is the reader's, too: the order is kept. One that
        comes after the end is dropped: the link gives its number to the first message after the one
        that was refused.
        """
        if self._closed is not None:
            return
        if self.listener is not None and not self._messages:
            try:
                if self.listener(data):
                    return
            # `get` raises it in the reader's task; raised here, only the event loop would see it.
            except Exception as error:  # noqa: BLE001
                self.close(error)
                return
        self._messages.append(data)
        if len(self._messages) == MAX_UNREAD + 1 and self.transport is not None:
            self.transport.pause_reading()
        self._wake()

    def close(self, closed: Exception) -> None:
        """Let `get` raise this when all messages are read. The first reason counts."""
        self._closed = self._closed or closed
        self._wake()

    async def get(self) -> Data:
        """Return the next message. Raises ChannelClosed."""
        while not self._messages:
            if self._closed is not None:
                raise self._closed
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._messages.popleft()
        if len(self._messages) == MAX_UNREAD and self.transport is not None:
            self.transport.resume_reading()
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class MemoryChannel:
    """One end of a pair in one event loop. Bounded: a sender cannot run away from its receiver."""

    def __init__(self, bound: int = 64) -> None:
        self._bound = bound
        self._inbox = Inbox()
        self._room = asyncio.Event()
        self.other: MemoryChannel = self

    async def send(self, data: Data) -> None:
        """Send one message; wait while the other end has too many unread."""
        inbox = self.other._inbox
        while len(inbox) >= self._bound and inbox.closed is None:
            self._room.clear()
            await self._room.wait()
        if inbox.closed is not None:
            raise inbox.closed
        inbox.put(data)

    async def receive(self) -> Data:
        """Return the next message."""
        data = await self._inbox.get()
        self.other._room.set()
        return data

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close both ends; the other one may still read what was sent before."""
        for end in (self, self.other):
            end._inbox.close(ChannelClosed(code, reason))
            end._room.set()


def memory_pair() -> tuple[MemoryChannel, MemoryChannel]:
    """Return two connected ends."""
    left, right = MemoryChannel(), MemoryChannel()
    left.other, right.other = right, left
    return left, right
