"""ClientLink: one link to a server, for the requests of many sessions; it loses or doubles none.

Owns the sockets, one after the other, and the tasks that read and write them. Pending requests are
requests.py's affair, numbers and frames protocol/client.py's, episodes env.py's.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from openenv.channel import ChannelClosed, Data, FrameChannel, direct
from openenv.client.link.connecting import Connector, close_later
from openenv.client.link.dialing import dial
from openenv.client.link.outbox import ClientOutbox
from openenv.client.link.reconnecting import FATAL_CLOSE_CODES, Recovery, lost_link
from openenv.client.link.requests import ReplySink, Requests
from openenv.client.link.segment import answer_offer
from openenv.errors import (
    ConfigurationError,
    ConnectionLost,
    OpenEnvError,
    RemoteProtocolError,
    from_wire,
    to_wire,
)
from openenv.protocol.client import ClientProtocol
from openenv.protocol.columns import single_results
from openenv.protocol.frames import CLOSE_PROTOCOL_ERROR, MAX_MESSAGE_BYTES, SUBPROTOCOL_JSON
from openenv.protocol.wire import WIRES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from openenv.arrays import Encoding
    from openenv.client.link.connecting import Dial, ExitReason
    from openenv.client.ports import SessionListener
    from openenv.protocol.frames import (
        ClientFrame,
        Reply,
        Request,
        Results,
        SegmentAnswer,
        SegmentOffer,
        ServerFrame,
        Step,
        Steps,
        Watch,
    )
    from openenv.protocol.legacy import LegacyClientProtocol
    from openenv.protocol.wire import Wire

logger = logging.getLogger("openenv.client")


class ClientLink:
    """Open it with `open`; then `request` from any number of tasks of the same event loop.

    asyncio only, and bound to the event loop that opened it. `aclose` is final for everybody who
    waits; `open` begins a new link afterwards, as it does after a loss.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        connect_timeout_s: float = 10.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        exit_reason: ExitReason | None = None,
    ) -> None:
        self._connector = Connector(dial, connect_timeout_s, max_message_bytes, exit_reason)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._protocol: ClientProtocol | LegacyClientProtocol | None = None
        # What each step needs of the protocol, one attribute away.
        self.capabilities: Sequence[str] = ()
        "What the server can do besides what every server does."
        self.wire: Wire = WIRES[SUBPROTOCOL_JSON]
        "How frames are encoded. A legacy server has frames of its own, with payloads as JSON."
        self.encoding: Encoding = "msgpack"
        "How payloads of replies are encoded."
        self.next_id: Callable[[], int] = count(1).__next__
        "Allocate a request id."
        self._channel: FrameChannel | None = None
        self._requests: Requests | None = None
        self._outbox: ClientOutbox | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._lost: OpenEnvError | None = None
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
        exit_reason: ExitReason | None = None,
    ) -> ClientLink:
        """Return a link to the server at this base URL; nothing is dialed yet.

        Reconnecting stops when `exit_reason` says that the server has ended.
        """
        max_message_bytes = int(max_message_size_mb * 1024 * 1024)
        dial_server = partial(
            dial,
            url,
            connect_timeout_s=connect_timeout_s,
            max_message_bytes=max_message_bytes,
            headers=headers,
        )
        return cls(
            dial_server,
            connect_timeout_s=connect_timeout_s,
            max_message_bytes=max_message_bytes,
            exit_reason=exit_reason,
        )

    # ---- life

    @property
    def is_open(self) -> bool:
        """Whether requests can be made; also while a lost socket is being replaced."""
        return bool(self._tasks) and self._lost is None

    @property
    def is_multiplexed(self) -> bool:
        """Whether the link carries many sessions; a legacy server has one per socket."""
        return self._protocol is not None and self._protocol.resumable

    @property
    def session_count(self) -> int:
        """How many sessions are open on the link."""
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
            if not self.is_open:  # another task may have opened it meanwhile
                await self._open(loop)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        await self._stop_tasks()
        self._lost = None
        self._is_closing = False
        outbox = self._outbox = ClientOutbox(loop, self._receive_local)
        self._requests = Requests(loop, outbox.push, self._split, self._answer_offer)
        channel, protocol = await self._connector.connect()
        self._use(channel, protocol)
        if self._is_closing:
            await channel.aclose()
            raise ConnectionLost("the connection was closed while it was being opened")
        self._tasks = [
            loop.create_task(self._run(), name="openenv-reader"),
            loop.create_task(outbox.run(), name="openenv-writer"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._task_ended)

    async def aclose(self) -> None:
        """Send the waiting frames, close the socket; pending requests get ConnectionLost."""
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
                close_later(channel)
            raise
        finally:
            await self._stop_tasks()
            self._lose(ConnectionLost("the connection was closed"))

    # ---- requests

    def next_session(self, listener: SessionListener) -> int:
        """Allocate a session number; the listener is told when the server ends the session."""
        requests = self._open_requests()
        number: int = self._protocol.next_session()  # type: ignore[union-attr]  # as `open` left it
        requests.listen(number, listener)
        return number

    def forget_session(self, number: int) -> None:
        """Remove the session's listener, because the session is closed."""
        if self._requests is not None:
            self._requests.forget(number)

    def request(self, frame: Request, timeout_s: float) -> asyncio.Future[Reply]:
        """Send a request; the reply frame may be an error, RequestTimeout among others.

        A caller that is cancelled while it awaits must call `give_up`. Raises the error that the
        link was lost with.
        """
        if self._lost is not None or asyncio.get_running_loop() is not self._loop:
            self._open_requests()
        return self._requests.ask(frame, timeout_s)  # type: ignore[union-attr]  # as `open` left it

    def give_up(self, frame: Request) -> None:
        """Stop waiting for a reply and cancel the request on the server; the link stays usable."""
        if self._requests is not None and self._lost is None:
            self._requests.give_up(frame.id)

    async def request_many(self, frames: Sequence[Request], timeout_s: float) -> list[Reply]:
        """Send many requests in as few messages as possible.

        Return the reply frames in their order, errors included.
        """
        return await self._open_requests().ask_many(frames, timeout_s)

    def send_many(
        self,
        sessions: Sequence[int],
        frames: Sequence[Request | Steps | Watch],
        timeout_s: float,
        sink: ReplySink,
    ) -> Requests:
        """Send many requests; the sink gets each reply when it comes, errors included."""
        requests = self._open_requests()
        requests.send(sessions, frames, timeout_s, sink)
        return requests

    def write_now(self) -> None:
        """Write the requests made so far: the server begins with them while others are made."""
        self._outbox.write_now()  # type: ignore[union-attr]  # as `open` left it

    def stream(self, frame: Step, timeout_s: float) -> AsyncIterator[Reply]:
        """Send a request; yield its partial replies and then its reply. Raises like `request`."""
        return self._open_requests().follow(frame, timeout_s)

    def push(self, frame: ClientFrame) -> None:
        """Send a frame that has no reply."""
        if self._outbox is not None:
            self._outbox.push(frame)

    def _open_requests(self) -> Requests:
        """Return the pending requests. Raises what the link was lost with, ConfigurationError."""
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
        """Read until the link is gone, over as many sockets as that takes."""
        recovery = Recovery.RESUMED
        while recovery is not Recovery.GONE:
            try:
                await self._read(self._channel)  # type: ignore[arg-type]  # `_use` has set it
            except ChannelClosed as closed:
                recovery = await self._recover(closed)
            except RemoteProtocolError as error:
                recovery = await self._refuse(error)

    async def _read(self, channel: FrameChannel) -> None:
        if (quick := direct(channel)) is not None:
            quick.listen(self._receive)
        while True:
            self._receive(await channel.receive())

    def _receive(self, data: Data) -> bool:
        """Decode a message and pass its frames on; True because it is always consumed."""
        protocol = self._protocol
        self._requests.receive(protocol.receive(data))  # type: ignore[union-attr]  # `open` made them
        if protocol.resumable:  # type: ignore[union-attr]
            self._outbox.acknowledge_later()  # type: ignore[union-attr]
        return True

    def _receive_local(self, replies: Sequence[ServerFrame]) -> None:
        """Pass on the replies that the protocol made itself."""
        if self._requests is not None:
            self._requests.receive(replies)

    def _split(self, frame: Results) -> Sequence[Reply]:
        return single_results(frame, self.wire)

    def _answer_offer(self, offer: SegmentOffer) -> SegmentAnswer:
        assert isinstance(self._protocol, ClientProtocol)  # a legacy server offers nothing
        return answer_offer(self._protocol, offer)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Fail all requests when the reader or the writer has failed."""
        if not task.cancelled() and task.exception() is not None and self._lost is None:
            self._lose(ConnectionLost(f"the connection failed: {task.exception()!r}"))

    # ---- sockets come and go

    async def _recover(self, closed: ChannelClosed) -> Recovery:
        """Replace the lost socket, unless the link must end with it."""
        self._use(None)
        protocol = self._protocol
        if (
            self._is_closing
            or not isinstance(protocol, ClientProtocol)
            or closed.code in FATAL_CLOSE_CODES
        ):
            return self._lose(self._error_of(closed))
        logger.info("the socket was lost (%s): reconnecting", closed)
        protocol.detach()
        try:
            channel, current = await self._connector.reconnect(protocol)
        except OpenEnvError as error:
            return self._lose(error)
        if current is protocol:
            self._use(channel, current)
            return Recovery.RESUMED
        # Before the new link is used: what was meant for the old one must not go out on it.
        self._lose_sessions(lost_link("the server no longer knows this connection", protocol.link))
        self._use(channel, current)
        return Recovery.FRESH

    async def _refuse(self, error: RemoteProtocolError) -> Recovery:
        """Give the link up because the server broke the protocol, and close the socket."""
        channel = self._channel
        self._use(None)
        recovery = self._lose(error)
        if channel is not None:
            await channel.aclose(CLOSE_PROTOCOL_ERROR, str(error))
        return recovery

    def _error_of(self, closed: ChannelClosed) -> OpenEnvError:
        """Return the error for a socket that is not replaced."""
        if self._requests is not None and self._requests.unsolicited_error is not None:
            return self._requests.unsolicited_error
        hint = FATAL_CLOSE_CODES.get(closed.code, "")
        return ConnectionLost(f"the server closed the connection ({closed}){hint}")

    def _use(
        self,
        channel: FrameChannel | None,
        protocol: ClientProtocol | LegacyClientProtocol | None = None,
    ) -> None:
        """Read from and write to this channel from now on; None: wait for the next one."""
        self._channel = channel
        if self._outbox is None:
            return
        if channel is None or protocol is None:
            self._outbox.detach()
            return
        self._protocol = protocol
        self.encoding, self.next_id = protocol.encoding, protocol.next_id
        self.capabilities = protocol.capabilities
        if isinstance(protocol, ClientProtocol):
            self.wire = protocol.wire
        self._outbox.attach(protocol, channel)

    def _lose(self, error: OpenEnvError) -> Recovery:
        """Give the link up: every pending and every later request gets this error."""
        self._lost = error
        self._lose_sessions(error)
        if self._requests is not None and self._outbox is not None:
            self._requests.stop()
            self._outbox.stop()
        if isinstance(self._protocol, ClientProtocol):
            self._protocol.reader = None
        return Recovery.GONE

    def _lose_sessions(self, error: OpenEnvError) -> None:
        """Fail all pending requests and sessions; nothing of them goes out on a new link."""
        if self._requests is not None and self._outbox is not None:
            self._requests.lose_all(error)
            self._outbox.clear()

    async def _stop_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
