"""Outbox: the writing half of a connection: frames of one turn of the event loop share a message.

Knows when to write: at the end of the turn, or when the socket takes more again. Who reads, and
which socket it is, is connection.py's affair; numbers and encoding are the protocol's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from openenv.channel import ChannelClosed, direct
from openenv.protocol.frames import ACK_DELAY_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.channel import Data, DirectChannel, FrameChannel


class Outbox:
    """Made with its connection's loop; `run` writes what the event loop's own turns cannot."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, take_local: Callable[[list[Any]], None]
    ) -> None:
        self._loop = loop
        self._take_local = take_local
        "Gets the replies that the protocol has made itself, to frames that cannot be sent."
        self._protocol: Any = None
        self._channel: FrameChannel | None = None
        self._direct: DirectChannel | None = None
        "The same channel, if it can be written to without a task."
        self._frames: list[Any] = []
        self._is_scheduled = False
        self._is_flushing = False
        self._owes_acknowledgement = False
        self._acknowledging: asyncio.TimerHandle | None = None
        self._work = asyncio.Event()

    def attach(self, protocol: Any, channel: FrameChannel) -> None:
        """Write to this channel from now on, first what has waited for one."""
        self._protocol, self._channel = protocol, channel
        self._direct = direct(channel)
        self._work.set()

    def detach(self) -> None:
        """The channel is lost: what is pushed waits for the next one."""
        self._channel = self._direct = None

    def push(self, frame: Any) -> None:
        """Put a frame into the message of this turn of the event loop."""
        self._frames.append(frame)
        if not self._is_scheduled:
            self._schedule()

    def write_now(self) -> None:
        """Write what is there before the turn ends: the peer begins with it, and more will come."""
        if self._is_scheduled:
            self._flush_now()

    def acknowledge_later(self) -> None:
        """Tell the peer soon how much has come in, should no other message do so before."""
        if self._acknowledging is None:
            self._acknowledging = self._loop.call_later(ACK_DELAY_S, self._acknowledge)

    def clear(self) -> None:
        """Forget what waits: the link that it was meant for is gone."""
        self._frames = []

    def stop(self) -> None:
        """Acknowledge nothing more."""
        if self._acknowledging is not None:
            self._acknowledging.cancel()
            self._acknowledging = None

    async def run(self) -> None:
        """Write what has to wait for the socket, over as many sockets as come."""
        while True:
            await self._work.wait()
            self._work.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write what waits. One at a time keeps the order: who finds another at it leaves it."""
        if self._is_flushing:
            return
        self._is_flushing = True
        try:
            while (channel := self._channel) is not None and (messages := self._ready()):
                for message in messages:
                    if self._channel is not channel:
                        return
                    await channel.send(message)
        except ChannelClosed:
            # The reader notices too and brings a new socket; the link sends again what this one
            # lost.
            return
        finally:
            self._is_flushing = False

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._is_scheduled = False
        channel = self._direct
        if channel is None or self._is_flushing or not channel.is_writable:
            self._work.set()
            return
        try:
            for message in self._ready():
                channel.write(message)
        except ChannelClosed:
            # As in `flush`.
            return

    def _ready(self) -> list[Data]:
        """Return the messages of all that waits, or one that only acknowledges, if that is due."""
        frames, self._frames = self._frames, []
        is_acknowledgement_due, self._owes_acknowledgement = self._owes_acknowledgement, False
        messages: list[Data] = self._protocol.send(frames)
        local = self._protocol.take_local_replies()
        if local:
            self._take_local(local)
        if is_acknowledgement_due and not messages:
            message = self._protocol.acknowledgement()
            return [] if message is None else [message]
        return messages

    def _acknowledge(self) -> None:
        self._acknowledging = None
        self._owes_acknowledgement = True
        self._schedule()
