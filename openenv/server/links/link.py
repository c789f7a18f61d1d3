"""SessionLink: the server's end of a logical connection: its sockets, and its sessions.

Outlives its sockets: connection.py attaches a channel, and detaches it when it is lost. Replies
leave by outbox.py. Knows nothing of environments; what a frame means for a session is session.py's
affair.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from openenv.errors import OpenEnvError, Unsupported
from openenv.protocol.columns import single_steps
from openenv.protocol.frames import (
    Cancel,
    Close,
    Closed,
    Error,
    Malformed,
    Open,
    Opened,
    SegmentAnswer,
    Step,
    Steps,
    Unwatch,
    Watch,
)
from openenv.protocol.server import error_frame
from openenv.server.links.batch import step_at_once
from openenv.server.links.open_sessions import OpenSessions
from openenv.server.links.outbox import Outbox

if TYPE_CHECKING:
    from openenv.arrays import Encoding
    from openenv.channel import DirectChannel, FrameChannel
    from openenv.protocol.legacy import LegacyServerProtocol
    from openenv.protocol.link import Data
    from openenv.protocol.server import ServerProtocol
    from openenv.server.sessions.registry import SessionRegistry
    from openenv.server.sessions.session import Session


class SessionLink:
    """One per client connection, over all its sockets: `handle` takes what comes in."""

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
        self._reader: asyncio.Task[Any] | None = None
        self.is_ended = False
        self._held = OpenSessions()
        self.outbox = Outbox(protocol, self._overflow)
        self._expires_at_s: float | None = None

    @property
    def is_live(self) -> bool:
        """Whether a socket is attached."""
        return self.channel is not None

    @property
    def has_unsent(self) -> bool:
        """Whether replies are on their way to an attached socket."""
        return self.outbox.has_unsent

    def is_expired(self, now_s: float) -> bool:
        """Whether the client has stayed away for longer than its grace."""
        return self._expires_at_s is not None and now_s >= self._expires_at_s

    # ---- sockets

    def attach(self, channel: FrameChannel) -> tuple[FrameChannel, asyncio.Task[Any]] | None:
        """Use this channel from now on; a native link's must be greeted first.

        The calling task is the one that reads it. Return the channel that it takes over from, and
        who reads that one: the caller must `fence` them.
        """
        reader = asyncio.current_task()
        assert reader is not None
        old = None if self.channel is None else (self.channel, self._reader)
        self.channel, self._reader = channel, reader
        self.outbox.attach(channel)
        self._expires_at_s = None
        return old  # type: ignore[return-value]  # a channel has a reader

    def detach(self, channel: FrameChannel) -> None:
        """The channel is lost: wait for the client to come back; a legacy one cannot."""
        if self.channel is not channel:
            return
        self.channel = None
        self.outbox.detach()
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
        self.outbox.end()
        if self.is_native:
            self.protocol.end()
            self.registry.remove_link(self)
            if self.registry.spectators is not None:
                self.registry.spectators.forget(self)
        for session in self._held.take_all():
            session.holder = None
            if not session.is_named:
                session.end(reason)

    # ---- in

    def handle(self, data: Data) -> None:
        """Take one message. Raises RemoteProtocolError when the link cannot go on."""
        frames = self.protocol.receive(data)
        outbox = self.outbox
        if outbox.frames:
            outbox.check_backlog()
        sessions = self._held.by_number
        outbox.is_attended = True
        try:
            for frame in frames:
                if type(frame) is Step:
                    session = sessions.get(frame.session)
                    if session is not None:
                        session.submit(frame, self)
                        continue
                self._dispatch(frame)
        finally:
            outbox.is_attended = False
        if outbox.acknowledging is None and self.is_native:
            outbox.acknowledge_later()

    def answer(self, channel: DirectChannel, data: Data) -> bool:
        """Handle a message and send what is ready, in this turn of the event loop.

        False, and nothing done, if it has to wait for the socket or is not for this link any more.
        """
        outbox = self.outbox
        if outbox.free is not channel or not channel.is_writable:
            return False
        self.handle(data)
        outbox.write_now()
        return True

    def reply(self, frame: Any) -> None:
        """Put a frame into the next message. Called on the event loop."""
        # Not the outbox's method: that would be one call more for each step.
        outbox = self.outbox
        outbox.frames.append(frame)
        if not outbox.is_attended:
            outbox.schedule()

    def until_room(self) -> asyncio.Future[None] | None:
        """Return what is done when the client has room for more partial observations, or is gone.

        None if there is room now.
        """
        return self.outbox.until_room()

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
        self.is_ended = True
        self.outbox.finish(linger=True)

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
            self.outbox.finish(linger=not session.was_opened)

    def session_taken_over(self, session: Session) -> None:
        """Another client has opened the session by its token: the newer one wins."""
        self.session_ended(session, "taken over by another client")

    def _hold(self, number: int, session: Session) -> None:
        self._held.add(number, session)
        session.holder = self

    def _dispatch(self, frame: Any) -> None:
        kind = type(frame)
        if kind is Malformed:
            self.reply(Error(frame.id, frame.code, frame.message))
        elif kind is Cancel:
            session = self._held.by_number.get(frame.session)
            if session is not None:
                session.cancel(frame.id, self)
        elif kind is Steps:
            self._dispatch_steps(frame)
        elif kind is SegmentAnswer:
            self.protocol.take_answer(is_mapped=frame.is_mapped)
        else:
            try:
                self._dispatch_request(frame, kind)
            except OpenEnvError as error:
                self.reply(error_frame(frame.id, error))

    def _dispatch_steps(self, frame: Steps) -> None:
        spec = self.registry.spec
        others = step_at_once(spec, self._held.by_number, frame, self.encoding, self.reply)
        if others:
            steps = single_steps(frame, self.protocol.wire)
            for position in others:
                self._dispatch(steps[position])

    def _dispatch_request(self, frame: Any, kind: type) -> None:
        if kind is Open:
            self.open(frame)
            return
        if kind in (Watch, Unwatch):
            self._watch(frame)
            return
        if kind is Close and frame.session not in self._held.by_number:
            self.reply(Closed(frame.id, frame.session, "not open"))
            return
        self._held.find(frame.session).submit(frame, self)

    def _watch(self, frame: Watch | Unwatch) -> None:
        spectators = self.registry.spectators
        if spectators is None:
            raise Unsupported(
                "this server does not let its sessions be watched: "
                "start it with --watch, or with OPENENV_WATCH=true"
            )
        if isinstance(frame, Watch):
            spectators.watch(self, frame)
        else:
            spectators.unwatch(self, frame)

    def _overflow(self) -> None:
        self.end("its client stayed away and its replies overflowed")
