"""ClientOutbox: the writing half of a client's link. Frames of one turn share messages.

Owns the acknowledgement's timer, the task's event and the channel. Who may write, and what, is
protocol/writer.py's affair; who reads, and which socket it is, is link.py's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from openenv.channel import ChannelClosed, direct
from openenv.protocol.frames import ACK_DELAY_S
from openenv.protocol.writer import DIRECT, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.channel import Data, DirectChannel, FrameChannel
    from openenv.protocol.client import ClientProtocol
    from openenv.protocol.frames import ClientFrame, ServerFrame
    from openenv.protocol.legacy import LegacyClientProtocol


class ClientOutbox:
    """Made with its link's event loop; `run` writes when a turn of the loop cannot."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_local_replies: Callable[[list[ServerFrame]], None],
    ) -> None:
        self._loop = loop
        self._on_local_replies = on_local_replies
        "Gets the replies that the protocol has made itself, to frames that cannot be sent."
        self._writer = Writer()
        self._protocol: ClientProtocol | LegacyClientProtocol | None = None
        self._channel: FrameChannel | None = None
        self._direct: DirectChannel | None = None
        "The same channel, if it can be written to without a task."
        self._task_called = asyncio.Event()
        self._ack_timer: asyncio.TimerHandle | None = None

    def attach(
        self, protocol: ClientProtocol | LegacyClientProtocol, channel: FrameChannel
    ) -> None:
        """Write to this channel, which has been greeted, from now on: first the waiting frames."""
        self._protocol = self._writer.protocol = protocol
        self._channel, self._direct = channel, direct(channel)
        self._writer.attach(is_direct=self._direct is not None)
        self._writer.greeted()
        self._call_task()

    def detach(self) -> None:
        """The channel is lost: frames wait for the next one."""
        self._channel = self._direct = None
        self._writer.detach()

    def push(self, frame: ClientFrame) -> None:
        """Put a frame into the message of this turn of the event loop."""
        writer = self._writer
        writer.frames.append(frame)
        if not writer.flush_pending and writer.schedule():
            self._loop.call_soon(self._flush_scheduled)

    def write_now(self) -> None:
        """Write before the turn ends: the server begins, while more frames are being pushed."""
        if self._writer.frames:
            self._flush_scheduled()

    def acknowledge_later(self) -> None:
        """Acknowledge soon what the server has sent, should no other message do so before."""
        if self._ack_timer is None:
            self._ack_timer = self._loop.call_later(ACK_DELAY_S, self._acknowledge)

    def clear(self) -> None:
        """Drop the waiting frames: they were meant for a link that is gone."""
        self._writer.frames.clear()

    def stop(self) -> None:
        """Acknowledge nothing more."""
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None

    async def run(self) -> None:
        """Flush whenever the task is called, over as many sockets as come."""
        while True:
            await self._task_called.wait()
            self._task_called.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write all frames, and wait as long as the socket demands.

        Returns at once while another task writes, which goes on until no frame waits.
        """
        channel = self._channel
        if channel is None or not self._writer.begin():
            return
        try:
            while self._channel is channel and (messages := self._next_messages()):
                for message in messages:
                    await channel.send(message)
        except ChannelClosed:
            # The reader notices too and brings a new socket; the link sends again what this one
            # lost.
            return
        finally:
            if self._channel is channel:
                self._writer.written()

    def _flush_scheduled(self) -> None:
        writer, channel = self._writer, self._direct
        writer.flush_pending = False
        try:
            while channel is not None and writer.state is DIRECT and channel.is_writable:
                messages = self._next_messages()
                for message in messages:
                    channel.write(message)
                if not messages or not writer.frames:
                    return
        except ChannelClosed:
            # The reader notices too and brings a new socket; the link sends again what this one
            # lost.
            return
        self._call_task()

    def _call_task(self) -> None:
        if self._writer.call_task():
            self._task_called.set()

    def _next_messages(self) -> list[Data]:
        messages = self._writer.next_messages()
        local = self._protocol.take_local_replies()  # type: ignore[union-attr]  # `attach` set it
        if local:
            self._on_local_replies(local)
        return messages

    def _acknowledge(self) -> None:
        self._ack_timer = None
        self._writer.ack_due = True
        if self._writer.schedule():
            self._loop.call_soon(self._flush_scheduled)
