"""SessionLink: the server's end of a logical connection: its sessions, and replies on their way.

Outlives its sockets: connection.py attaches a channel, and detaches it when it is lost. Knows
nothing of environments; what a frame means for a session is session.py's affair.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from openenv.channel import ChannelClosed, DirectChannel, FrameChannel, direct
from openenv.errors import (
    OpenEnvError,
    RemoteProtocolError,
    Unsupported,
)
from openenv.protocol.columns import single_steps
from openenv.protocol.frames import (
    ACK_DELAY_S,
    CLOSE_NORMAL,
    UNSUPPORTED_FRAMES,
    Cancel,
    Close,
    Closed,
    Error,
    Malformed,
    Open,
    Opened,
    Step,
    Steps,
)
from openenv.server.batch import step_at_once
from openenv.server.held import HeldSessions
from openenv.server.runner import error_frame

if TYPE_CHECKING:
    from openenv.arrays import Encoding
    from openenv.protocol.legacy import LegacyServerProtocol
    from openenv.protocol.link import Data
    from openenv.protocol.server import ServerProtocol
    from openenv.server.registry import SessionRegistry
    from openenv.server.session import Session

REFUSAL_LINGER_S = 5.0


class SessionLink:
    """One per client connection: `handle` takes what came in, `flush` sends what is ready."""

    def __init__(
        self, registry: SessionRegistry, protocol: ServerProtocol | LegacyServerProtocol
    ) -> None:
        self.registry = registry
        self.protocol: Any = protocol
        self.is_native = protocol.resumable
        self.is_lenient = not protocol.resumable
        self.encoding: Encoding = protocol.encoding
        self.token: str = getattr(protocol, "token", "")
        self.channel: FrameChannel | None = None
        self._direct: DirectChannel | None = None
        "The same channel, if it can be written to without a task."
        self._reader: asyncio.Task[Any] | None = None
        self.is_ended = False
        self._held = HeldSessions()
        self._outbox: list[Any] = []
        self._flushing: FrameChannel | None = None
        "The channel that is being written to."
        self._flushed = asyncio.Event()
        self._is_greeting = False
        self._is_handling = False
        self._is_wake_scheduled = False
        self._writable = asyncio.Event()
        self._expires_at_s: float | None = None
        self._ack_handle: asyncio.TimerHandle | None = None
        self._goodbye_handle: asyncio.TimerHandle | None = None
        self._is_acknowledgement_due = False
        self._is_refused = False

    @property
    def is_live(self) -> bool:
        """Whether a socket is attached."""
        return self.channel is not None

    @property
    def has_unsent(self) -> bool:
        """Whether replies are on their way to an attached socket."""
        return self.channel is not None and (bool(self._outbox) or self._flushing is self.channel)

    def is_expired(self, now_s: float) -> bool:
        """Whether the client has stayed away for longer than its grace."""
        return self._expires_at_s is not None and now_s >= self._expires_at_s

    # ---- sockets

    def attach(self, channel: FrameChannel) -> tuple[FrameChannel, asyncio.Task[Any]] | None:
        """Use this channel from now on; of a native link only `greet` may write before it is done.

        The calling task is the one that reads it. Return the channel that it takes over from, and
        who reads that one: the caller must `fence` them.
        """
        reader = asyncio.current_task()
        assert reader is not None
        old = None if self.channel is None else (self.channel, self._reader)
        self.channel, self._reader = channel, reader
        self._direct = direct(channel)
        self._is_greeting = self.is_native
        self._expires_at_s = None
        return old  # type: ignore[return-value]  # a channel has a reader

    async def greet(self, channel: FrameChannel, messages: list[Data]) -> None:
        """Send the hello and what the client lacks, before anything that becomes ready meanwhile.

        Raises ChannelClosed.
        """
        for message in messages:
            await channel.send(message)
        if self.channel is channel:
            self._is_greeting = False

    def detach(self, channel: FrameChannel) -> None:
        """The channel is lost: wait for the client to come back; a legacy one cannot."""
        if self.channel is not channel:
            return
        self.channel = self._direct = None
        self._is_greeting = self._is_wake_scheduled = False
        self._stop_timers()
        if not self.is_native:
            self.end("its socket closed")
        elif not self.is_ended:
            self.protocol.detach()
            self._expires_at_s = asyncio.get_running_loop().time() + self.protocol.grace_s

    def end(self, reason: str = "its link ended") -> None:
        """End the link and its sessions."""
        if self.is_ended:
            return
        self.is_ended = True
        self._stop_timers()
        if self.is_native:
            self.protocol.end()
            self.registry.remove_link(self)
        for session in self._held.take_all():
            session.holder = None
            if not session.is_named:
                session.end(reason)

    # ---- in

    def handle(self, data: Data) -> None:
        """Take one message. Raises RemoteProtocolError when the link cannot go on."""
        frames = self.protocol.receive(data)
        if self._is_full():
            self._check_backlog()
        sessions = self._held.by_number
        self._is_handling = True
        try:
            for frame in frames:
                if type(frame) is Step:
                    session = sessions.get(frame.session)
                    if session is not None:
                        session.submit(frame, self)
                        continue
                self._dispatch(frame)
        finally:
            self._is_handling = False
        if self._ack_handle is None and self.is_native and self.channel is not None:
            self._ack_handle = asyncio.get_running_loop().call_later(ACK_DELAY_S, self._acknowledge)

    def answer(self, channel: DirectChannel, data: Data) -> bool:
        """Handle a message and send what is ready, in this turn of the event loop.

        False, and nothing done, if it has to wait for the socket or is not for this link any more.
        """
        if (
            self.channel is not channel
            or self.is_ended
            or self._flushing is channel
            or not channel.is_writable
        ):
            return False
        self.handle(data)
        self._flush_now()
        return True

    def open(self, frame: Open) -> None:
        """Give the client a session: a new one, or the one its token names."""
        self._held.check_free(frame.session)
        session = self.registry.unheld_shared()
        if frame.token is not None:
            session = self.registry.find(frame.token)
            if session.holder is not None:
                session.holder.session_taken_over(session)
        if session is not None:
            self._hold(frame.session, session)
            self.reply(Opened(frame.id, session.token))
        else:
            session = self.registry.open(frame.label)
            self._hold(frame.session, session)
            session.open(frame, self)

    def refuse(self, request_id: int, error: OpenEnvError) -> None:
        """Tell a legacy client, whose socket is its session, that it gets none."""
        self.reply(error_frame(request_id, error))
        self.is_ended = self._is_refused = True

    def session_ended(self, session: Session, reason: str) -> None:
        """Forget a session of this link, and tell the client unless it has closed it itself."""
        number = self._held.remove(session)
        if number is None:
            return
        if self.is_native:
            if reason != "closed":
                self._held.remember(number, reason)
                self.reply(Closed(0, number, reason))
        else:
            # A legacy socket lives as long as its session.
            self.is_ended = True
            self._is_refused = not session.was_opened
            self._schedule_flush()

    def session_taken_over(self, session: Session) -> None:
        """Another client has opened the session by its token: the newer one wins."""
        self.session_ended(session, "taken over by another client")

    def _hold(self, number: int, session: Session) -> None:
        self._held.add(number, session)
        session.holder = self

    def _dispatch(self, frame: Any) -> None:
        kind = type(frame)
        if kind is Malformed:
            self.reply(Error(frame.id, RemoteProtocolError.code, frame.message))
        elif kind is Cancel:
            session = self._held.by_number.get(frame.session)
            if session is not None:
                session.cancel(frame.id, self)
        elif kind is Steps:
            self._dispatch_steps(frame)
        else:
            try:
                self._dispatch_request(frame, kind)
            except OpenEnvError as error:
                self.reply(error_frame(frame.id, error))

    def _dispatch_steps(self, frame: Steps) -> None:
        calls = self.registry.calls
        others = step_at_once(
            calls, self._held.by_number, frame, self.encoding, self._outbox.append
        )
        if others:
            steps = single_steps(frame, self.protocol.wire)
            for position in others:
                self._dispatch(steps[position])

    def _dispatch_request(self, frame: Any, kind: type) -> None:
        if kind is Open:
            self.open(frame)
            return
        if isinstance(frame, UNSUPPORTED_FRAMES):
            raise Unsupported(f"this server does not do {kind.__name__.lower()}")
        if kind is Close and frame.session not in self._held.by_number:
            self.reply(Closed(frame.id, frame.session, "not open"))
            return
        self._held.find(frame.session).submit(frame, self)

    # ---- out

    def reply(self, frame: Any) -> None:
        """Put a frame into the next message. Called on the event loop."""
        self._outbox.append(frame)
        if not self._is_handling and not self._is_wake_scheduled:
            self._schedule_flush()

    async def flush(self, channel: FrameChannel) -> None:
        """Send what is ready: everything in as few messages as its size allows.

        One sender at a time keeps the order. A channel that is taken over in between gets nothing
        more: what was numbered for it is in the greeting on the newer one. So whoever serves the
        older one never writes to the newer: fenced in the middle of that, it would lose messages.
        """
        if self.channel is not channel or self._is_greeting or self._flushing is channel:
            return
        self._flushing = channel
        self._flushed.clear()
        try:
            while self.channel is channel and (messages := self._ready()):
                for message in messages:
                    if self.channel is not channel:
                        return
                    await channel.send(message)
        except ChannelClosed:
            # The reader notices too, and detaches.
            return
        finally:
            if self._flushing is channel:
                self._flushing = None
                self._flushed.set()
        if self.is_ended and self.channel is channel:
            await self._say_goodbye(channel)

    async def until_flushed(self, channel: FrameChannel) -> None:
        """Wait while somebody else writes to the channel: who reads no replies is not read."""
        while self._flushing is channel:
            await self._flushed.wait()

    def _flush_now(self) -> None:
        """Do what `flush` does if that needs no waiting; else let the writer do it."""
        self._is_wake_scheduled = False
        channel = self._direct
        if self.channel is None or self._is_greeting or self._flushing is self.channel:
            return
        if channel is None or self.is_ended or not channel.is_writable:
            self._is_wake_scheduled = True
            self._writable.set()
            return
        try:
            while messages := self._ready():
                for message in messages:
                    channel.write(message)
        except ChannelClosed:
            # The reader notices too, and detaches.
            return

    async def write(self, channel: FrameChannel) -> None:
        """Flush what had to wait; runs as long as its socket, or until that is taken over."""
        while True:
            await self._writable.wait()
            if self.channel is not channel:
                return
            self._writable.clear()
            self._is_wake_scheduled = False
            await self.flush(channel)

    def _ready(self) -> list[Data]:
        """Return the next messages to send, the last of all one that only acknowledges."""
        if self._outbox and not self._is_full():
            frames, self._outbox = self._outbox, []
            return self.protocol.send(frames)  # type: ignore[no-any-return]
        if self._is_acknowledgement_due:
            self._is_acknowledgement_due = False
            # None, if a reply has just carried it.
            message = self.protocol.acknowledgement()
            return [] if message is None else [message]
        return []

    async def _say_goodbye(self, channel: FrameChannel) -> None:
        """Close the socket of an ended link, at once or when a refused client had time to read why.

        Published clients read nothing before their first request: a socket that is closed by then
        shows them a lost connection instead of the refusal.
        """
        if not self._is_refused:
            await channel.aclose(CLOSE_NORMAL)
        elif self._goodbye_handle is None:
            loop = asyncio.get_running_loop()
            self._goodbye_handle = loop.call_later(REFUSAL_LINGER_S, self._stop_lingering)

    def _stop_lingering(self) -> None:
        self._is_refused = False
        self._schedule_flush()

    def _is_full(self) -> bool:
        return self.is_native and self.protocol.link.is_full

    def _check_backlog(self) -> None:
        protocol = self.protocol
        if len(self._outbox) * protocol.mean_frame_bytes > protocol.link.buffer_bytes:
            raise RemoteProtocolError("too many replies wait for the client to acknowledge others")

    def _schedule_flush(self) -> None:
        if self.channel is not None:
            self._is_wake_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_now)
        elif self.is_native and not self.is_ended:
            self._keep()

    def _keep(self) -> None:
        """While no socket is there, replies are numbered and kept.

        More than the bound of them ends the link.
        """
        frames, self._outbox = self._outbox, []
        self.protocol.send(frames)
        if self.protocol.link.is_full:
            self.end("its client stayed away and its replies overflowed")

    def _acknowledge(self) -> None:
        """Let the writer acknowledge what no reply has acknowledged since."""
        self._ack_handle = None
        if self.protocol.link.owes_acknowledgement:
            self._is_acknowledgement_due = True
            self._schedule_flush()

    def _stop_timers(self) -> None:
        for handle in (self._ack_handle, self._goodbye_handle):
            if handle is not None:
                handle.cancel()
        self._ack_handle = self._goodbye_handle = None
