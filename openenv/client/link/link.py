"""Connection: one link to a server, for the requests of many sessions; it loses or doubles none.

Owns sockets, futures and deadlines; frames and numbers are protocol/client.py's affair, episodes
env.py's. asyncio only, and bound to the event loop that opened it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from openenv.channel import ChannelClosed, Data, FrameChannel, direct
from openenv.client.link.dialing import Dialed, dial
from openenv.client.link.outbox import Outbox
from openenv.client.link.reconnecting import FATAL_CLOSE_CODES, ReconnectPolicy, lost_link
from openenv.client.link.requests import ReplySink, Requests, SessionListener
from openenv.client.link.segment import answer_offer
from openenv.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    OpenEnvError,
    RemoteProtocolError,
    from_wire,
    to_wire,
)
from openenv.protocol.client import ClientProtocol
from openenv.protocol.columns import single_results
from openenv.protocol.frames import CLOSE_PROTOCOL_ERROR, MAX_MESSAGE_BYTES
from openenv.protocol.legacy import LegacyClientProtocol
from openenv.protocol.wire import WIRES

if TYPE_CHECKING:
    from openenv.arrays import Encoding

logger = logging.getLogger("openenv.client")

Dial = Callable[[], Awaitable[Dialed]]


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
        self.capabilities: Sequence[str] = ()
        "What the server can do besides what every server does."
        self.encoding: Encoding = "msgpack"
        "How payloads of replies are encoded."
        self.next_id: Callable[[], int] = count(1).__next__
        "Allocate a request id."
        self._channel: FrameChannel | None = None
        self._requests: Requests | None = None
        self._outbox: Outbox | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._lost: OpenEnvError | None = None
        self._is_closing = False
        self._opening: asyncio.Lock | None = None
        self._discarding: asyncio.Future[None] | None = None
        self._attempts = ReconnectPolicy()

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
    def wire(self) -> Any:
        """How frames are encoded."""
        return self._protocol.wire

    @property
    def session_count(self) -> int:
        """How many sessions are open here."""
        return 0 if self._requests is None else self._requests.session_count

    async def open(self) -> None:
        """Connect, unless connected. Raises ConnectError, ConfigurationError."""
        loop = asyncio.get_running_loop()
        self._check_loop(loop)
        if self.is_open:
            return
        self._loop = loop
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if bool(self._tasks) and self._lost is None:
                return  # somebody else was faster
            await self._stop_tasks()
            self._lost = None
            outbox = self._outbox = Outbox(loop, self._take_replies)
            self._requests = Requests(
                loop,
                outbox.push,
                lambda frame: single_results(frame, self.wire),
                lambda offer: answer_offer(self._protocol, offer),
            )
            self._is_closing = False
            await self._begin(await self._dial())
            if self._is_closing:
                await self._channel.aclose()  # type: ignore[union-attr]  # `_begin` has set it
                raise ConnectionLost("the connection was closed while it was being opened")
            self._tasks = [
                loop.create_task(self._run(), name="openenv-reader"),
                loop.create_task(outbox.run(), name="openenv-writer"),
            ]
            for task in self._tasks:
                task.add_done_callback(self._task_ended)

    async def aclose(self) -> None:
        """Send what is ready, close the socket; what is still pending gets ConnectionLost."""
        if self._loop is None or self._is_closing:
            return
        self._is_closing = True
        channel = self._channel
        try:
            if self._outbox is not None and self.is_open:
                await self._outbox.flush()
            if channel is not None:
                await channel.aclose()
        except asyncio.CancelledError:
            if channel is not None:
                self._discard(channel)
            raise
        finally:
            await self._stop_tasks()
            self._lose(ConnectionLost("the connection was closed"))

    # ---- requests

    def next_session(self, listener: SessionListener) -> int:
        """Allocate a session number; the listener is told when the server ends the session."""
        number: int = self._protocol.next_session()
        self._open_requests().listen(number, listener)
        return number

    def forget_session(self, number: int) -> None:
        """The session is closed: its listener is told nothing more."""
        if self._requests is not None:
            self._requests.forget(number)

    def request(self, frame: Any, timeout_s: float) -> Awaitable[Any]:
        """Send a request; the reply frame may be an error, RequestTimeout among others.

        Who is cancelled while awaiting it must `give_up`. Raises what happened to the connection.
        """
        if self._lost is not None or asyncio.get_running_loop() is not self._loop:
            self._open_requests()
        return self._requests.ask(frame, timeout_s)  # type: ignore[union-attr]  # as `open` left it

    def give_up(self, frame: Any) -> None:
        """Forget a request and let the server forget it too; the connection stays usable."""
        if self._requests is not None and self._lost is None:
            self._requests.give_up(frame.id)

    async def request_many(self, frames: Sequence[Any], timeout_s: float) -> list[Any]:
        """Send many requests in as few messages as possible.

        Return the reply frames in their order, errors included.
        """
        return await self._open_requests().ask_many(frames, timeout_s)

    def send_many(
        self, sessions: Sequence[int], frames: Sequence[Any], timeout_s: float, taker: ReplySink
    ) -> Requests:
        """Send many requests; the taker gets each reply when it comes, errors included."""
        requests = self._open_requests()
        requests.send(sessions, frames, timeout_s, taker)
        return requests

    def write_now(self) -> None:
        """Write what was asked so far: the server begins with it while more is being asked."""
        self._outbox.write_now()  # type: ignore[union-attr]  # as `open` left it

    def stream(self, frame: Any, timeout_s: float) -> AsyncIterator[Any]:
        """Send a request; yield its partial replies and then its reply. Raises like `request`."""
        return self._open_requests().follow(frame, timeout_s)

    def push(self, frame: Any) -> None:
        """Send a frame that has no reply."""
        if self._outbox is not None:
            self._outbox.push(frame)

    def _open_requests(self) -> Requests:
        """Return where to ask. Raises what happened to the connection, ConfigurationError."""
        self._check_loop(asyncio.get_running_loop())
        if self._lost is not None:
            code, message, _, details = to_wire(self._lost)
            raise from_wire(code, message, details)
        if self._requests is None or not self._tasks:
            raise ConnectionLost("the connection is not open")
        return self._requests

    def _check_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None and loop is not self._loop:
            raise ConfigurationError(
                "this client is connected on another event loop: "
                "make a client per loop, or use its .sync() form"
            )

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
                channel = self._channel
                self._use(None)
                self._lose(error)
                await channel.aclose(CLOSE_PROTOCOL_ERROR, str(error))
                return

    async def _read(self, channel: FrameChannel) -> None:
        if (quick := direct(channel)) is not None:
            quick.listen(self._take_message)
        while True:
            self._take_message(await channel.receive())

    def _take_message(self, data: Data) -> bool:
        protocol = self._protocol
        self._requests.take(protocol.receive(data))  # type: ignore[union-attr]  # `open` made them
        if protocol.resumable:
            self._outbox.acknowledge_later()  # type: ignore[union-attr]
        return True

    def _take_replies(self, replies: list[Any]) -> None:
        if self._requests is not None:
            self._requests.take(replies)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Let nobody wait for a reader or writer that has failed."""
        if not task.cancelled() and task.exception() is not None and self._lost is None:
            self._lose(ConnectionLost(f"the connection failed: {task.exception()!r}"))

    # ---- sockets come and go

    async def _begin(self, dialed: Dialed) -> None:
        """Begin a new link on a new socket."""
        channel, subprotocol = dialed
        if subprotocol is None:
            self._speak(LegacyClientProtocol())
        else:
            protocol = ClientProtocol(WIRES[subprotocol], max_message_bytes=self._max_message_bytes)
            await self._greet(channel, protocol)
            self._speak(protocol)
        self._use(channel)

    def _speak(self, protocol: Any) -> None:
        """Begin a new link; what a step needs of it is within reach of a single look."""
        self._protocol = protocol
        self.encoding, self.next_id = protocol.encoding, protocol.next_id
        self.capabilities = protocol.capabilities

    def _use(self, channel: FrameChannel | None) -> None:
        """Read from and write to this channel from now on; None: until there is another."""
        self._channel = channel
        if self._outbox is None:
            return
        if channel is None:
            self._outbox.detach()
        else:
            self._outbox.attach(self._protocol, channel)

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
                    self._speak(fresh)
                    return False
                for message in missing:
                    await channel.send(message)
        except (TimeoutError, ChannelClosed) as error:
            await channel.aclose()
            raise ConnectError(f"the server did not say hello: {error}") from error
        except RemoteProtocolError as error:
            await channel.aclose(CLOSE_PROTOCOL_ERROR, str(error))
            raise
        except asyncio.CancelledError:
            self._discard(channel)
            raise
        return True

    def _discard(self, channel: FrameChannel) -> None:
        """Close a channel for a caller who was cancelled: who does not wait for a handshake."""
        self._discarding = asyncio.ensure_future(channel.aclose())

    async def _recover(self, closed: ChannelClosed) -> bool:
        """Replace a lost socket within the server's grace.

        True if the link, or at least a new one, goes on.
        """
        self._use(None)
        if self._is_closing or not self._protocol.resumable or closed.code in FATAL_CLOSE_CODES:
            reason = FATAL_CLOSE_CODES.get(closed.code, "")
            lost = ConnectionLost(f"the server closed the connection ({closed}){reason}")
            farewell = self._requests.farewell if self._requests is not None else None
            self._lose(farewell or lost)
            return False
        protocol: ClientProtocol = self._protocol
        protocol.detach()
        logger.info("the socket was lost (%s): reconnecting", closed)
        link = protocol.link
        self._attempts.begin(link, protocol.server.grace_s)
        while await self._attempts.wait():
            try:
                dialed = await self._dial()
                if dialed.subprotocol != protocol.wire.subprotocol:
                    await dialed.channel.aclose()
                    break
                resumed = await self._greet(dialed.channel, protocol)
            except ConnectError:
                continue
            except RemoteProtocolError as error:
                self._lose(error)
                return False
            if not resumed:
                self._lose_sessions(lost_link("the server no longer knows this connection", link))
            self._use(dialed.channel)
            return True
        late = f"no server was of use within {protocol.server.grace_s:.0f} s"
        self._lose(lost_link(self._attempts.ended or late, link))
        return False

    def _lose(self, error: OpenEnvError) -> None:
        self._lost = error
        self._lose_sessions(error)
        if self._requests is not None and self._outbox is not None:
            self._requests.stop()
            self._outbox.stop()
        if self._protocol is not None:
            self._protocol.reader = None

    def _lose_sessions(self, error: OpenEnvError) -> None:
        """Tell everybody that the link is gone; nothing is sent again on a new one."""
        if self._requests is not None and self._outbox is not None:
            self._requests.lose_all(error)
            self._outbox.clear()

    async def _stop_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
