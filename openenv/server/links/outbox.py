"""ServerOutbox: the writing half of a server's link: when it writes, and on which socket.

Owns timers, tasks and the channel. Replies of one turn of the event loop share messages. Who may
write, and what, is protocol/writer.py's affair; sessions and lost sockets are link.py's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from openenv.channel import ChannelClosed, DirectChannel, FrameChannel, direct
from openenv.errors import RemoteProtocolError
from openenv.protocol.frames import ACK_DELAY_S, CLOSE_NORMAL
from openenv.protocol.peer import Peer
from openenv.protocol.writer import CLOSING, DIRECT, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.protocol.frames import ServerFrame
    from openenv.protocol.legacy import LegacyServerProtocol
    from openenv.protocol.link import Data

REFUSAL_LINGER_S = 5.0
"How long a refused client may take to read why, before its socket is closed."


class ServerOutbox:
    """One per link, over all its sockets. Use on the event loop."""

    def __init__(
        self, protocol: Peer | LegacyServerProtocol, on_overflow: Callable[[], None]
    ) -> None:
        self._peer = protocol if isinstance(protocol, Peer) else None
        "The protocol, unless it is the legacy dialect, which greets and acknowledges nobody."
        self.writer = Writer(protocol, bounded=self._peer)
        self._on_overflow = on_overflow
        "Called when more replies are kept for a client that is away than may be."
        self._channel: FrameChannel | None = None
        self._direct: DirectChannel | None = None
        "The same channel, if it can be written to without a task."
        self._task_called = asyncio.Event()
        self._flush_done = asyncio.Event()
        self._waiting_for_room: list[asyncio.Future[None]] = []
        self._ack_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None

    @property
    def has_unsent(self) -> bool:
        """Whether replies wait for an attached socket, or are being written to it."""
        return self.writer.has_unsent

    # ---- sockets

    def attach(self, channel: FrameChannel) -> None:
        """Write to this channel from now on. On a native link `greet` comes first."""
        self._channel, self._direct = channel, direct(channel)
        self.writer.attach(is_direct=self._direct is not None)
        if self._peer is None:
            self.writer.greeted()
        self._flush_done.set()

    async def greet(self, channel: FrameChannel, messages: list[Data]) -> None:
        """Send the hello and the messages that the client lacks, before any newer one.

        Raises ChannelClosed.
        """
        for message in messages:
            await channel.send(message)
        if self._channel is channel:
            self.writer.greeted()
            self._tell_of_room()

    def detach(self) -> None:
        """The channel is lost: frames are kept for the next one."""
        self._channel = self._direct = None
        self.writer.detach()
        self._flush_done.set()
        self._stop_timers()
        self._tell_of_room()

    def finish(self, *, lingers: bool = False) -> None:
        """Close the channel when all is written; if it lingers, not before REFUSAL_LINGER_S.

        Published clients read nothing before their first request: a socket that is closed by then
        shows them a lost connection instead of the refusal.
        """
        self.writer.finish(lingers=lingers)
        if not self.writer.flush_pending:
            self.schedule()

    def end(self) -> None:
        """The link has ended: frames that wait, and those that are still added, are dropped."""
        self.writer.end()
        self._stop_timers()
        self._tell_of_room()

    # ---- frames

    def begin_turn(self) -> None:
        """A message of the client is about to be handled: its replies wait for `end_turn`.

        Raises RemoteProtocolError if too many replies wait for this client already. Two methods
        and no context manager, which would cost a step that is alone in its message 4 %.
        """
        writer = self.writer
        if writer.frames and writer.is_overflowing:
            raise RemoteProtocolError("too many replies wait for the client to acknowledge others")
        writer.flush_pending = True

    def end_turn(self) -> None:
        """The message is handled; the caller writes next, by `write_now` or `flush`."""
        self.writer.flush_pending = False
        if self._ack_timer is None:
            self._acknowledge_later()

    def schedule(self) -> None:
        """Write the frames at the end of this turn of the event loop; keep them without a socket.

        Needless while `writer.flush_pending`.
        """
        if self.writer.schedule():
            asyncio.get_running_loop().call_soon(self._flush_scheduled)
        elif self.writer.is_overflowing:
            self._on_overflow()

    def send_now(self, frame: ServerFrame) -> None:
        """Write a frame in the caller's own time, unless a flush is to come anyway."""
        self.writer.frames.append(frame)
        if not self.writer.flush_pending:
            self._flush_scheduled()

    @property
    def has_room(self) -> bool:
        """Whether partial observations may be added."""
        return self.writer.has_room

    def until_room(self) -> asyncio.Future[None] | None:
        """Return what is done when there is room, or the link has ended; None if there is now."""
        if self.writer.has_room:
            return None
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting_for_room.append(room)
        return room

    def _tell_of_room(self) -> None:
        if self._waiting_for_room and self.writer.has_room:
            waiting, self._waiting_for_room = self._waiting_for_room, []
            for room in waiting:
                if not room.done():
                    room.set_result(None)

    # ---- writing

    def write_now(self) -> None:
        """Write until the socket takes no more, then call the task. It was writable just now."""
        writer, channel = self.writer, self._direct
        try:
            while channel is not None and writer.state is DIRECT:
                messages = self._next_messages()
                for message in messages:
                    channel.write(message)
                if not messages or not writer.frames:
                    return
                if not channel.is_writable:
                    break
        except ChannelClosed:
            # The reader notices too, and detaches.
            return
        self._call_task()

    async def flush(self, channel: FrameChannel) -> None:
        """Write all frames, and wait as long as the socket demands; close it if that is due.

        When another channel takes over meanwhile, the rest is not written: its messages have
        numbers, so the greeting on the newer channel repeats them. A task never writes to a
        channel that it does not serve: it may be cancelled when its own is fenced, and would lose
        the messages that it has just encoded.
        """
        writer = self.writer
        if self._channel is not channel or not writer.begin():
            return
        self._flush_done.clear()
        try:
            while self._channel is channel and (messages := self._next_messages()):
                for message in messages:
                    if self._channel is not channel:
                        return
                    await channel.send(message)
        except ChannelClosed:
            # The reader notices too, and detaches.
            return
        finally:
            if self._channel is channel:
                writer.written()
                self._flush_done.set()
        if self._channel is channel and writer.state is CLOSING:
            await self._close(channel)

    async def until_flushed(self, channel: FrameChannel) -> None:
        """Wait while another task flushes: a client that reads no replies is not read from."""
        while self._channel is channel and self.writer.is_writing:
            await self._flush_done.wait()

    async def run(self, channel: FrameChannel) -> None:
        """Flush whenever the task is called, until the channel is lost or taken over."""
        while True:
            await self._task_called.wait()
            if self._channel is not channel:
                return
            self._task_called.clear()
            await self.flush(channel)

    def _flush_scheduled(self) -> None:
        writer, channel = self.writer, self._direct
        writer.flush_pending = False
        if channel is not None and writer.state is DIRECT and channel.is_writable:
            self.write_now()
        else:
            self._call_task()

    def _call_task(self) -> None:
        if self.writer.call_task():
            self._task_called.set()

    def _next_messages(self) -> list[Data]:
        messages = self.writer.next_messages()
        if self._waiting_for_room:
            self._tell_of_room()
        return messages

    async def _close(self, channel: FrameChannel) -> None:
        """Close the socket, or let it linger first."""
        if not self.writer.lingers:
            await channel.aclose(CLOSE_NORMAL)
        elif self._linger_timer is None:
            loop = asyncio.get_running_loop()
            self._linger_timer = loop.call_later(REFUSAL_LINGER_S, self._stop_lingering)

    # ---- timers

    def _acknowledge_later(self) -> None:
        """Acknowledge soon what the client has sent, should no reply do so before."""
        if self._peer is not None and self._channel is not None:
            loop = asyncio.get_running_loop()
            self._ack_timer = loop.call_later(ACK_DELAY_S, self._acknowledge)

    def _acknowledge(self) -> None:
        self._ack_timer = None
        self.writer.ack_due = True
        self.schedule()

    def _stop_lingering(self) -> None:
        self.writer.lingers = False
        self.schedule()

    def _stop_timers(self) -> None:
        for timer in (self._ack_timer, self._linger_timer):
            if timer is not None:
                timer.cancel()
        self._ack_timer = self._linger_timer = None
