"""Outbox: the writing half of a link: what is ready, when it is written, on which socket.

What becomes ready in one turn of the event loop shares messages. One writes at a time: the greeting
of a new socket; then whoever is first, at the end of a turn; and a task as soon as the socket makes
somebody wait. Sessions, and sockets' coming and going, are link.py's affair; numbers and encoding
are the protocol's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from openenv.channel import ChannelClosed, DirectChannel, FrameChannel, direct
from openenv.errors import RemoteProtocolError
from openenv.protocol.frames import ACK_DELAY_S, CLOSE_NORMAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.protocol.link import Data

REFUSAL_LINGER_S = 5.0
FRAMES_AHEAD = 16
"How many frames may wait before who makes partial observations waits, too."


class Outbox:
    """One per link, over all its sockets. Use on the event loop."""

    def __init__(self, protocol: Any, overflow: Callable[[], None]) -> None:
        self.free: DirectChannel | None = None
        "The channel, as long as each turn of the event loop may write to it, without a task."
        self.is_attended = False
        "Whether somebody is going to write what waits anyway."
        self.acknowledging: asyncio.TimerHandle | None = None
        self._protocol = protocol
        self._link = protocol.link if protocol.resumable else None
        self._overflow = overflow
        "Called when more replies are kept for a client that is away than may be."
        self.frames: Any = []
        "What waits to be numbered and written. Who adds to it must `schedule`, unless attended."
        self._channel: FrameChannel | None = None
        self._is_greeting = False
        self._writing: FrameChannel | None = None
        "The channel that `flush` writes to."
        self._written = asyncio.Event()
        self._work = asyncio.Event()
        self._is_acknowledgement_due = False
        self._waiting: list[asyncio.Future[None]] = []
        "For room."
        self._is_over = False
        self._is_lingering = False
        self._goodbye: asyncio.TimerHandle | None = None

    @property
    def has_unsent(self) -> bool:
        """Whether replies are on their way to an attached socket."""
        channel = self._channel
        return channel is not None and (bool(self.frames) or self._writing is channel)

    # ---- sockets

    def attach(self, channel: FrameChannel) -> None:
        """Write to this channel from now on; of a native link only `greet`, before it is done."""
        self._channel, self.free = channel, None
        self._is_greeting = self._link is not None
        self._offer(channel)

    async def greet(self, channel: FrameChannel, messages: list[Data]) -> None:
        """Send the hello and what the client lacks, before anything that becomes ready meanwhile.

        Raises ChannelClosed.
        """
        for message in messages:
            await channel.send(message)
        if self._channel is channel:
            self._is_greeting = False
            self._offer(channel)
            self._tell_of_room()

    def detach(self) -> None:
        """The channel is lost: what waits is kept for the next one."""
        self._channel = self.free = None
        self._is_greeting = self.is_attended = False
        self._stop_timers()
        self._tell_of_room()

    def finish(self, *, linger: bool = False) -> None:
        """Close the channel when all is written; linger if the client may read after a while only.

        Published clients read nothing before their first request: a socket that is closed by then
        shows them a lost connection instead of the refusal.
        """
        self._is_over, self._is_lingering, self.free = True, linger, None
        if not self.is_attended:
            self.schedule()

    def end(self) -> None:
        """The link has ended: what waits, and is added from now on, goes nowhere."""
        self._is_over, self.free = True, None
        self.frames = deque(maxlen=0)
        self._stop_timers()
        self._tell_of_room()

    # ---- what is ready

    def schedule(self) -> None:
        """Write what waits at the end of this turn of the event loop."""
        if self._channel is not None:
            self.is_attended = True
            asyncio.get_running_loop().call_soon(self.write_now)
        elif self._link is not None and not self._is_over:
            self._keep()

    def acknowledge_later(self) -> None:
        """Tell the client soon how much has come in, should no reply do so before."""
        if self._channel is not None:
            loop = asyncio.get_running_loop()
            self.acknowledging = loop.call_later(ACK_DELAY_S, self._acknowledge)

    def check_backlog(self) -> None:
        """Raise RemoteProtocolError if too much waits for a client that does not acknowledge."""
        protocol, link = self._protocol, self._link
        if link is None or not link.is_full:
            return
        if len(self.frames) * protocol.mean_frame_bytes > link.buffer_bytes:
            raise RemoteProtocolError("too many replies wait for the client to acknowledge others")

    @property
    def has_room(self) -> bool:
        """Whether partial observations may be added to what waits, or is kept."""
        link = self._link
        if self._channel is None and link is not None:
            # The other half is for replies: too many of them end the link.
            return self._is_over or link.kept_bytes * 2 <= link.buffer_bytes
        return len(self.frames) < FRAMES_AHEAD

    def until_room(self) -> asyncio.Future[None] | None:
        """Return what is done when there is room, or the link has ended; None if there is now."""
        if self.has_room:
            return None
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(room)
        return room

    def _tell_of_room(self) -> None:
        if self._waiting and self.has_room:
            waiting, self._waiting = self._waiting, []
            for room in waiting:
                if not room.done():
                    room.set_result(None)

    # ---- writing

    def write_now(self) -> None:
        """Write what is ready if that needs no waiting; else let the task do it."""
        self.is_attended = False
        channel = self.free
        try:
            while channel is not None and channel.is_writable:
                messages = self._ready()
                for message in messages:
                    channel.write(message)
                if not messages or not self.frames:
                    return
        except ChannelClosed:
            # The reader notices too, and detaches.
            return
        self._call_writer()

    async def flush(self, channel: FrameChannel) -> None:
        """Write what is ready; wait as long as the socket demands.

        A channel that is taken over in between gets nothing more: what was numbered for it is in
        the greeting on the newer one. So whoever serves the older one never writes to the newer:
        fenced in the middle of that, it would lose messages.
        """
        if self._channel is not channel or self._is_greeting or self._writing is channel:
            return
        self._writing, self.free = channel, None
        self._written.clear()
        try:
            while self._channel is channel and (messages := self._ready()):
                for message in messages:
                    if self._channel is not channel:
                        return
                    await channel.send(message)
        except ChannelClosed:
            # The reader notices too, and detaches.
            return
        finally:
            if self._writing is channel:
                self._writing = None
                self._written.set()
                self._offer(channel)
        if self._is_over and self._channel is channel:
            await self._say_goodbye(channel)

    async def until_flushed(self, channel: FrameChannel) -> None:
        """Wait while somebody else flushes: who reads no replies is not read."""
        while self._writing is channel:
            await self._written.wait()

    async def run(self, channel: FrameChannel) -> None:
        """Flush what had to wait; runs as long as its socket, or until that is taken over."""
        while True:
            await self._work.wait()
            if self._channel is not channel:
                return
            self._work.clear()
            self.is_attended = False
            await self.flush(channel)

    def _offer(self, channel: FrameChannel) -> None:
        """Let turns of the event loop write to the channel, if nobody else has to."""
        if self._channel is channel and not self._is_greeting and not self._is_over:
            self.free = direct(channel)

    def _call_writer(self) -> None:
        """Let the task write, unless it is at it, or is to be greeted before."""
        channel = self._channel
        if channel is not None and not self._is_greeting and self._writing is not channel:
            self.is_attended = True
            self._work.set()

    def _ready(self) -> list[Data]:
        """Return what comes next: a message of what waits, or one that only acknowledges.

        Few at a time, so that neither the link nor the socket ever gets much more than it takes.
        """
        link = self._link
        if self.frames and (link is None or link.kept_bytes <= link.buffer_bytes):
            self._is_acknowledgement_due = False
            messages: list[Data] = self._protocol.send_first(self.frames)
            self._tell_of_room()
            return messages
        if self._is_acknowledgement_due:
            self._is_acknowledgement_due = False
            # None, if a reply has just carried it.
            message = self._protocol.acknowledgement()
            return [] if message is None else [message]
        return []

    def _keep(self) -> None:
        """While no socket is there, replies are numbered and kept, up to the bound.

        As many may wait for that: what the last socket had not taken yet. Whoever is told that
        there are more ends the link.
        """
        protocol, link = self._protocol, self._link
        assert link is not None
        while self.frames and link.kept_bytes <= link.buffer_bytes:
            protocol.send_first(self.frames)
        if len(self.frames) * protocol.mean_frame_bytes > link.buffer_bytes:
            self._overflow()

    # ---- timers

    def _acknowledge(self) -> None:
        """Acknowledge what no reply has acknowledged since."""
        self.acknowledging = None
        if self._protocol.link.owes_acknowledgement:
            self._is_acknowledgement_due = True
            self.schedule()

    async def _say_goodbye(self, channel: FrameChannel) -> None:
        """Close the socket, at once or when a refused client had time to read why."""
        if not self._is_lingering:
            await channel.aclose(CLOSE_NORMAL)
        elif self._goodbye is None:
            loop = asyncio.get_running_loop()
            self._goodbye = loop.call_later(REFUSAL_LINGER_S, self._stop_lingering)

    def _stop_lingering(self) -> None:
        self._is_lingering = False
        self.schedule()

    def _stop_timers(self) -> None:
        for handle in (self.acknowledging, self._goodbye):
            if handle is not None:
                handle.cancel()
        self.acknowledging = self._goodbye = None
