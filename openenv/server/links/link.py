"""SessionLink: the server's end of a logical connection: its sockets, and its sessions.

Outlives its sockets: connection.py attaches a channel, and detaches it when it is lost. Replies
leave by outbox.py. Knows nothing of environments; what a frame means for a session is session.py's
affair.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from openenv.errors import OpenEnvError, Unsupported
from openenv.protocol.columns import request_id, single_steps
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
from openenv.protocol.peer import LinkState
from openenv.protocol.server import error_frame
from openenv.protocol.writer import DIRECT
from openenv.server.links.batch import step_at_once
from openenv.server.links.open_sessions import OpenSessions
from openenv.server.links.outbox import ServerOutbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.arrays import Encoding
    from openenv.channel import DirectChannel, FrameChannel
    from openenv.protocol.frames import ClientFrame, GetState, Reset, ServerFrame
    from openenv.protocol.legacy import LegacyServerProtocol
    from openenv.protocol.link import Data
    from openenv.protocol.server import ServerProtocol
    from openenv.server.sessions.registry import SessionRegistry
    from openenv.server.sessions.session import Session
    from openenv.server.watching.spectators import Spectators


class SessionLink:
    """One per client, over all its sockets. `handle` reads messages, `reply` writes frames.

    Its state is the protocol's: DETACHED and LIVE in turn, then ENDED.
    """

    def __init__(
        self, registry: SessionRegistry, protocol: ServerProtocol | LegacyServerProtocol
    ) -> None:
        self.registry = registry
        # The legacy dialect has less, and sends no frames that would need more.
        self.protocol = cast("ServerProtocol", protocol)
        self.is_native = protocol.resumable
        self.is_lenient = not protocol.resumable
        self.encoding: Encoding = protocol.encoding
        self.token: str = getattr(protocol, "token", "")
        self.channel: FrameChannel | None = None
        self._reader: asyncio.Task[None] | None = None
        "The task that reads the channel."
        self._sessions = OpenSessions()
        self.outbox = ServerOutbox(protocol, self._overflow)
        self._writer = self.outbox.writer
        self._expires_at_s: float | None = None

    @property
    def is_live(self) -> bool:
        """Whether a socket is attached."""
        return self.protocol.state is LinkState.LIVE

    @property
    def is_ended(self) -> bool:
        """Whether the link is given up for good; its last replies may still be on their way."""
        return self.protocol.state is LinkState.ENDED

    @property
    def has_unsent(self) -> bool:
        """Whether replies are on their way to an attached socket."""
        return self._writer.has_unsent

    def is_expired(self, now_s: float) -> bool:
        """Whether the client has stayed away for longer than its grace."""
        return self._expires_at_s is not None and now_s >= self._expires_at_s

    # ---- sockets

    def attach(self, channel: FrameChannel) -> tuple[FrameChannel, asyncio.Task[None]] | None:
        """Use this channel from now on; a native link's must be greeted first.

        The calling task reads it. If the link has a channel already, return that and the task that
        reads it: the caller must fence them.
        """
        old_channel, old_reader = self.channel, self._reader
        self.channel, self._reader = channel, asyncio.current_task()
        self.outbox.attach(channel)
        self._expires_at_s = None
        if old_channel is None or old_reader is None:
            return None
        return old_channel, old_reader

    def detach(self, channel: FrameChannel) -> None:
        """The channel is lost. A native client may come back within its grace; a legacy cannot."""
        if self.channel is not channel:
            return
        self.channel = self._reader = None
        self.outbox.detach()
        if self.is_ended:
            return
        if self.is_native:
            self.protocol.detach()
            self._expires_at_s = asyncio.get_running_loop().time() + self.protocol.grace_s
        else:
            self.end("its socket closed")

    def end(self, reason: str = "its link ended") -> None:
        """End the link and its sessions."""
        if self.is_ended:
            return
        self.protocol.end()
        self.outbox.end()
        if self.is_native:
            self.registry.remove_link(self)
            if self.registry.spectators is not None:
                self.registry.spectators.forget(self)
        for session in self._sessions.pop_all():
            session.holder = None
            if not session.is_named:
                session.end(reason)

    # ---- frames of the client

    def handle(self, data: Data) -> None:
        """Handle one message; write its replies afterwards, by `write_now` or `flush`.

        Raises RemoteProtocolError when the link cannot go on.
        """
        frames = self.protocol.receive(data)
        sessions = self._sessions.by_number
        outbox = self.outbox
        outbox.begin_turn()
        try:
            for frame in frames:
                if type(frame) is Step:
                    session = sessions.get(frame.session)
                    if session is not None:
                        session.submit(frame, self)
                        continue
                self._dispatch(frame)
        finally:
            outbox.end_turn()

    def answer(self, channel: DirectChannel, data: Data) -> bool:
        """Handle a message and write its replies, in this turn of the event loop.

        Return False, and do nothing, if a task has to do it: the socket takes nothing at the
        moment, or has been taken over.
        """
        if (
            self.channel is not channel
            or self._writer.state is not DIRECT
            or not channel.is_writable
        ):
            return False
        self.handle(data)
        self.outbox.write_now()
        return True

    def reply(self, frame: ServerFrame) -> None:
        """Put a frame into the next message. Called on the event loop."""
        # Not a method of the outbox: that would be one call more for each step.
        writer = self._writer
        writer.frames.append(frame)
        if not writer.flush_pending:
            self.outbox.schedule()

    def until_room(self) -> asyncio.Future[None] | None:
        """Return what is done when the client has room for more partial observations, or is gone.

        None if there is room now.
        """
        return self.outbox.until_room()

    def open(self, frame: Open) -> None:
        """Give the client a session: a new one, or the one its token names."""
        self._sessions.check_unused(frame.session)
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
        self.protocol.end()
        self.outbox.finish(lingers=True)

    def session_ended(self, session: Session, reason: str) -> None:
        """Forget a session of this link, and tell the client unless it has closed it itself."""
        number = self._sessions.remove(session)
        if number is None:
            return
        if self.is_native:
            if reason != "closed":
                self._sessions.remember_end(number, reason)
                self.reply(Closed(0, number, reason))
        else:
            # A legacy socket lives as long as its session.
            self.protocol.end()
            self.outbox.finish(lingers=not session.was_opened)

    def session_taken_over(self, session: Session) -> None:
        """Another client has opened the session by its token: the newer one wins."""
        self.session_ended(session, "taken over by another client")

    def _hold(self, number: int, session: Session) -> None:
        self._sessions.add(number, session)
        session.holder = self

    def _overflow(self) -> None:
        self.end("its client stayed away and its replies overflowed")

    # ---- what each kind of frame asks for

    def _dispatch(self, frame: ClientFrame | Malformed) -> None:
        try:
            _HANDLERS.get(type(frame), SessionLink._submit)(self, frame)
        except OpenEnvError as error:
            self.reply(error_frame(request_id(frame), error))

    def _submit(self, frame: Reset | Step | GetState | Close) -> None:
        self._sessions.find(frame.session).submit(frame, self)

    def _close(self, frame: Close) -> None:
        if frame.session in self._sessions.by_number:
            self._submit(frame)
        else:
            self.reply(Closed(frame.id, frame.session, "not open"))

    def _cancel(self, frame: Cancel) -> None:
        session = self._sessions.by_number.get(frame.session)
        if session is not None:
            session.cancel(frame.id, self)

    def _step_many(self, frame: Steps) -> None:
        spec, sessions = self.registry.spec, self._sessions.by_number
        others = step_at_once(spec, sessions, frame, self.encoding, self.reply)
        if others:
            steps = single_steps(frame, self.protocol.wire)
            for position in others:
                self._dispatch(steps[position])

    def _use_segment(self, frame: SegmentAnswer) -> None:
        self.protocol.take_answer(is_mapped=frame.is_mapped)

    def _watch(self, frame: Watch) -> None:
        self._spectators().watch(self, frame)

    def _unwatch(self, frame: Unwatch) -> None:
        self._spectators().unwatch(self, frame)

    def _spectators(self) -> Spectators:
        spectators = self.registry.spectators
        if spectators is None:
            raise Unsupported(
                "this server does not let its sessions be watched: "
                "start it with --watch, or with OPENENV_WATCH=true"
            )
        return spectators

    def _refuse_malformed(self, frame: Malformed) -> None:
        self.reply(Error(frame.id, frame.code, frame.message))


_HANDLERS: dict[type, Callable[[SessionLink, Any], None]] = {
    Malformed: SessionLink._refuse_malformed,
    Open: SessionLink.open,
    Close: SessionLink._close,
    Cancel: SessionLink._cancel,
    Steps: SessionLink._step_many,
    SegmentAnswer: SessionLink._use_segment,
    Watch: SessionLink._watch,
    Unwatch: SessionLink._unwatch,
}
"What handles a frame of this class; `SessionLink._submit` handles all others."
