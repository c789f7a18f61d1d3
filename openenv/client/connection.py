"""Connection: one link to a server, for the requests of many sessions; it loses or doubles none.

Owns sockets, futures and deadlines; frames and numbers are protocol/client.py's affair, episodes
env.py's. asyncio only, and bound to the event loop that opened it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from openenv.channel import ChannelClosed, FrameChannel
from openenv.client.websocket import Dialed, dial
from openenv.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    OpenEnvError,
    RemoteProtocolError,
    RequestTimeout,
    SessionExpired,
    from_wire,
    to_wire,
)
from openenv.protocol.client import ClientProtocol
from openenv.protocol.frames import (
    ACK_DELAY_S,
    CLOSE_FENCED,
    CLOSE_PROTOCOL_ERROR,
    MAX_MESSAGE_BYTES,
    Cancel,
    Closed,
    Error,
    Partial,
)
from openenv.protocol.legacy import LegacyClientProtocol
from openenv.protocol.wire import WIRES

logger = logging.getLogger("openenv.client")

SWEEP_S = 0.1
BACKOFF_BASE_S = 0.05
BACKOFF_CAP_S = 2.0

Dial = Callable[[], Awaitable[Dialed]]


class SessionListener(Protocol):
    """Who has a session on a connection, and is told when the server ends it."""

    def session_closed(self, reason: str) -> None:
        """The session is gone."""


class Connection:
    """Open it with `open`; then `request` from any number of tasks of the same event loop."""

    def __init__(
        self,
        dial: Dial,
        *,
        connect_timeout_s: float = 10.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._dial = dial
        self._connect_timeout_s = connect_timeout_s
        self._max_message_bytes = max_message_bytes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._protocol: Any = None
        self._channel: FrameChannel | None = None
        self._pending: dict[int, tuple[Callable[[Any], None], float, int]] = {}
        "Request id -> (what takes the reply, deadline, session)."
        self._listeners: dict[int, SessionListener] = {}
        self._ended: dict[int, str] = {}
        "Session -> why the server has ended it, while a message is being read."
        self._outbox: list[Any] = []
        self._writer_wake: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sweep_handle: asyncio.TimerHandle | None = None
        self._ack_handle: asyncio.TimerHandle | None = None
        self._lost: OpenEnvError | None = None
        self._farewell: OpenEnvError | None = None
        self._is_closing = False
        self._opening: asyncio.Lock | None = None

    @classmethod
    def to(
        cls,
        url: str,
        *,
        connect_timeout_s: float = 10.0,
        max_message_size_mb: float = 100.0,
        headers: Mapping[str, str] | None = None,
    ) -> Connection:
        """Return a connection to the server at this base URL; nothing is dialed yet."""
        max_message_bytes = int(max_message_size_mb * 1024 * 1024)
        dial_server = partial(
            dial,
            url,
            connect_timeout_s=connect_timeout_s,
            max_message_bytes=max_message_bytes,
            headers=headers,
        )
        return cls(
            dial_server, connect_timeout_s=connect_timeout_s, max_message_bytes=max_message_bytes
        )

    # ---- life

    @property
    def is_open(self) -> bool:
        """Whether requests can be made; also while a lost socket is being replaced."""
        return bool(self._tasks) and self._lost is None

    @property
    def is_multiplexed(self) -> bool:
        """Whether many sessions fit; a legacy server has one per socket."""
        return bool(self._protocol is not None and self._protocol.resumable)

    @property
    def encoding(self) -> Any:
        """How payloads of replies are encoded."""
        return self._protocol.encoding

    @property
    def session_count(self) -> int:
        """How many sessions are open here."""
        return len(self._listeners)

    async def open(self) -> None:
        """Connect, unless connected. Raises ConnectError, ConfigurationError."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            self._check_loop(loop)
        self._loop = loop
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self.is_open:
                return
            await self._stop_tasks()
            self._lost = self._farewell = None
            self._is_closing = False
            await self._begin(await self._dial())
            self._tasks = [
                loop.create_task(self._run(), name="openenv-reader"),
                loop.create_task(self._write(), name="openenv-writer"),
            ]

    async def aclose(self) -> None:
        """Send what is ready, close the socket; what is still pending gets ConnectionLost."""
        if self._loop is None or self._is_closing:
            return
        self._is_closing = True
        if self._channel is not None and self.is_open:
            await self._flush()
        if self._channel is not None:
            await self._channel.aclose()
        await self._stop_tasks()
        self._lose(ConnectionLost("the connection was closed"))

    # ---- requests

    def next_id(self) -> int:
        """Allocate a request id."""
        return self._protocol.next_id()  # type: ignore[no-any-return]

    def next_session(self, listener: SessionListener) -> int:
        """Allocate a session number; the listener is told when the server ends the session."""
        number: int = self._protocol.next_session()
        self._listeners[number] = listener
        return number

    def forget_session(self, number: int) -> None:
        """The session is closed: its listener is told nothing more."""
        self._listeners.pop(number, None)

    async def request(self, frame: Any, timeout_s: float) -> Any:
        """Send a request and return its reply frame.

        Raises what the reply says, ConnectionLost or RequestTimeout. Cancelling the call gives
        the request up; the connection stays usable.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop or self._lost is not None:
            self._check_usable(loop)
        future: asyncio.Future[Any] = loop.create_future()
        request_id: int = frame.id
        self._pending[request_id] = (future.set_result, loop.time() + timeout_s, frame.session)
        self.push(frame)
        try:
            reply = await future
        except asyncio.CancelledError:
            self._give_up(request_id)
            raise
        if type(reply) is Error:
            raise from_wire(reply.code, reply.message, reply.details)
        return reply

    async def request_many(self, frames: Sequence[Any], timeout_s: float) -> list[Any]:
        """Send many requests in as few messages as possible.

        Return the reply frames in their order, errors included.
        """
        loop = asyncio.get_running_loop()
        self._check_usable(loop)
        done: asyncio.Future[None] = loop.create_future()
        replies: dict[int, Any] = {}
        count, deadline_s, pending = len(frames), loop.time() + timeout_s, self._pending

        def take(reply: Any) -> None:
            replies[reply.id] = reply
            if len(replies) == count and not done.done():
                done.set_result(None)

        for frame in frames:
            pending[frame.id] = (take, deadline_s, frame.session)
        self._outbox.extend(frames)
        self._wake_writer()
        try:
            if frames:
                await done
        except asyncio.CancelledError:
            for frame in frames:
                self._give_up(frame.id)
            raise
        return [replies[frame.id] for frame in frames]

    async def stream(self, frame: Any, timeout_s: float) -> Any:
        """Send a request; yield its partial replies and then its reply. Raises like `request`."""
        loop = asyncio.get_running_loop()
        self._check_usable(loop)
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._pending[frame.id] = (queue.put_nowait, loop.time() + timeout_s, frame.session)
        self.push(frame)
        try:
            while True:
                reply = await queue.get()
                if type(reply) is Error:
                    raise from_wire(reply.code, reply.message, reply.details)
                yield reply
                if type(reply) is not Partial:
                    return
        finally:
            self._give_up(frame.id)

    def push(self, frame: Any) -> None:
        """Put a frame into the next message.

        Every frame of this turn of the event loop shares it.
        """
        self._outbox.append(frame)
        self._wake_writer()

    def _give_up(self, request_id: int) -> None:
        """Forget a request and let the server forget it too. A late reply is dropped by its id."""
        entry = self._pending.pop(request_id, None)
        if entry is not None and self._lost is None:
            self.push(Cancel(request_id, entry[2]))

    def _check_usable(self, loop: asyncio.AbstractEventLoop) -> None:
        self._check_loop(loop)
        if self._lost is not None:
            code, message, _, details = to_wire(self._lost)
            raise from_wire(code, message, details)
        if not self._tasks:
            raise ConnectionLost("the connection is not open")

    def _check_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None and loop is not self._loop:
            raise ConfigurationError(
                "this client is connected on another event loop: "
                "make a client per loop, or use its .sync() form"
            )

    # ---- writing

    def _wake_writer(self) -> None:
        wake = self._writer_wake
        if wake is not None and not wake.done():
            wake.set_result(None)

    async def _write(self) -> None:
        """Send what became ready in each turn of the event loop as one message."""
        assert self._loop is not None
        while True:
            if not self._outbox or self._channel is None:
                self._writer_wake = self._loop.create_future()
                await self._writer_wake
                self._writer_wake = None
                if self._sweep_handle is None and self._pending:
                    self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep)
            if self._channel is not None:
                await self._flush()

    async def _flush(self) -> None:
        frames, self._outbox = self._outbox, []
        messages = self._protocol.send(frames)
        for reply in self._protocol.take_local_replies():
            self._resolve(reply)
        for message in messages:
            channel = self._channel
            if channel is None:
                return
            try:
                await channel.send(message)
            except ChannelClosed:
                # The reader notices too and brings a new socket; the link sends again what this one
                # lost.
                return

    # ---- reading

    async def _run(self) -> None:
        """Read until the link is lost for good, over as many sockets as that takes."""
        while self._channel is not None:
            try:
                await self._read(self._channel)
            except ChannelClosed as closed:
                if not await self._recover(closed):
                    return
            except RemoteProtocolError as error:
                channel, self._channel = self._channel, None
                self._lose(error)
                await channel.aclose(CLOSE_PROTOCOL_ERROR, str(error))
                return

    async def _read(self, channel: FrameChannel) -> None:
        protocol, pop = self._protocol, self._pending.pop
        assert self._loop is not None
        while True:
            frames = protocol.receive(await channel.receive())
            for frame in frames:
                if type(frame) is Partial:
                    self._resolve_partial(frame)
                    continue
                entry = pop(frame.id, None) if type(frame) is not Closed or frame.id else None
                if entry is None:
                    self._take_news(frame)
                    continue
                try:
                    entry[0](frame)
                except asyncio.InvalidStateError:
                    # Its caller was cancelled in this very turn of the event loop.
                    continue
            if self._ended:
                self._refuse_pending()
            if self._ack_handle is None and protocol.resumable:
                self._ack_handle = self._loop.call_later(ACK_DELAY_S, self._acknowledge)

    def _resolve(self, frame: Any) -> None:
        entry = self._pending.pop(frame.id, None)
        if entry is not None:
            try:
                entry[0](frame)
            except asyncio.InvalidStateError:
                return

    def _resolve_partial(self, frame: Partial) -> None:
        entry = self._pending.get(frame.id)
        if entry is not None:
            entry[0](frame)

    def _take_news(self, frame: Any) -> None:
        if type(frame) is Closed and frame.id == 0:
            self._ended[frame.session] = frame.reason
            listener = self._listeners.pop(frame.session, None)
            if listener is not None:
                listener.session_closed(frame.reason)
        elif type(frame) is Error and frame.id == 0:
            # A legacy server that refuses a session says so unasked, and closes.
            self._farewell = from_wire(frame.code, frame.message, frame.details)

    def _refuse_pending(self) -> None:
        """Answer the requests that crossed the news of their session's end.

        The server has no more to say of them, and may be gone before it could.
        """
        ended, self._ended = self._ended, {}
        for request_id, (_, _, session) in list(self._pending.items()):
            if session in ended:
                self._resolve(Error(request_id, *to_wire(SessionExpired(ended[session]))))

    def _acknowledge(self) -> None:
        self._ack_handle = None
        message = self._protocol.acknowledgement() if self._channel is not None else None
        if message is not None and self._loop is not None:
            self._ack_task = self._loop.create_task(self._send_quietly(message))

    async def _send_quietly(self, message: Any) -> None:
        if self._channel is not None:
            try:
                await self._channel.send(message)
            except ChannelClosed:
                return

    # ---- sockets come and go

    async def _begin(self, dialed: Dialed) -> None:
        """Begin a new link on a new socket."""
        channel, subprotocol = dialed
        if subprotocol is None:
            self._protocol = LegacyClientProtocol()
        else:
            protocol = ClientProtocol(WIRES[subprotocol], max_message_bytes=self._max_message_bytes)
            await self._greet(channel, protocol)
            self._protocol = protocol
        self._channel = channel

    async def _greet(self, channel: FrameChannel, protocol: ClientProtocol) -> bool:
        """Exchange hellos and send what the server lacks.

        False if the server began a new link instead.
        """
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await channel.send(protocol.hello())
                answer = await channel.receive()
                missing = protocol.attach(answer)
                if missing is None:
                    fresh = ClientProtocol(protocol.wire, max_message_bytes=self._max_message_bytes)
                    fresh.attach(answer)
                    self._protocol = fresh
                    return False
                for message in missing:
                    await channel.send(message)
        except (TimeoutError, ChannelClosed) as error:
            await channel.aclose()
            raise ConnectError(f"the server did not say hello: {error}") from error
        return True

    async def _recover(self, closed: ChannelClosed) -> bool:
        """Replace a lost socket within the server's grace.

        True if the link, or at least a new one, goes on.
        """
        self._channel = None
        if (
            self._is_closing
            or not self._protocol.resumable
            or closed.code in (CLOSE_FENCED, CLOSE_PROTOCOL_ERROR)
        ):
            lost = ConnectionLost(f"the server closed the connection ({closed})")
            self._lose(self._farewell or lost)
            return False
        protocol: ClientProtocol = self._protocol
        protocol.detach()
        logger.info("the socket was lost (%s): reconnecting", closed)
        assert self._loop is not None
        deadline_s, attempt = self._loop.time() + protocol.server.grace_s, 0
        while (left_s := deadline_s - self._loop.time()) > 0:
            # Full jitter, so that the clients of a server that went away do not come back in step.
            await asyncio.sleep(
                min(left_s, random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**attempt)))
            )
            attempt += 1
            try:
                dialed = await self._dial()
                if dialed.subprotocol != protocol.wire.subprotocol:
                    await dialed.channel.aclose()
                    break
                resumed = await self._greet(dialed.channel, protocol)
            except ConnectError:
                continue
            if not resumed:
                self._lose_sessions(self._lost_link("the server no longer knows this connection"))
            self._channel = dialed.channel
            self._wake_writer()
            return True
        self._lose(self._lost_link(f"no server answered within {protocol.server.grace_s:.0f} s"))
        return False

    def _lost_link(self, why: str) -> ConnectionLost:
        link = self._protocol.link
        return ConnectionLost(
            f"the connection was lost, and its sessions with it: {why}", link.sent, link.received
        )

    def _lose(self, error: OpenEnvError) -> None:
        self._lost = error
        self._lose_sessions(error)
        for handle in (self._sweep_handle, self._ack_handle):
            if handle is not None:
                handle.cancel()
        self._sweep_handle = self._ack_handle = None

    def _lose_sessions(self, error: OpenEnvError) -> None:
        """Tell every caller and every session that the link is gone.

        Nothing is sent again on a new one.
        """
        pending, self._outbox = list(self._pending), []
        for request_id in pending:
            self._resolve(Error(request_id, *to_wire(error)))
        listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            listener.session_closed(str(error))

    async def _stop_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # ---- deadlines: one sweep for all requests, because a timer for each costs more than a step

    def _sweep(self) -> None:
        assert self._loop is not None
        self._sweep_handle = None
        now_s = self._loop.time()
        for request_id in [
            request_id for request_id, entry in self._pending.items() if entry[1] <= now_s
        ]:
            resolve, _, session = self._pending.pop(request_id)
            self.push(Cancel(request_id, session))
            error = RequestTimeout(
                "no reply in time; whether the request ran is unknown: reset or close the session"
            )
            resolve(Error(request_id, *to_wire(error)))
        if self._pending:
            self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep)
