"""SessionSocket: uvicorn's WebSocket with a shorter way for whole messages; `serve` uses it.

ASGI costs a queue, a dict and a pause of the socket for every message, and a general parser even
more: that is most of what a message costs here. uvicorn and websockets keep handshake, limits,
pings and closing. Under another server the same endpoint speaks plain ASGI (connection.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from openenv.channel import ChannelClosed, Inbox
from openenv.framing import WebSocketFrameReader, server_frames
from openenv.server.links.connection import CLAIM_EXTENSION

if TYPE_CHECKING:
    from openenv.channel import Data, Listener


class SessionSocket(WebSocketsSansIOProtocol):
    """Offers itself to the application as an ASGI extension, whose value is `claim`."""

    _reads = 0
    _cutter: WebSocketFrameReader | None = None

    async def run_asgi(self) -> None:
        """Run the application, with the offer."""
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[CLAIM_EXTENSION] = self.claim
        await super().run_asgi()
        if not self.disconnected and self.transport.get_write_buffer_size():
            # Closing waits until all is written: for a client that does not read, for ever.
            self.loop.call_later(self.close_timeout, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """Lose the socket of a client that does not answer, with what it does not read."""
        super().keepalive_timeout()
        self.transport.abort()

    def claim(self) -> SocketChannel:
        """Take the messages of an accepted socket from now on; `receive` of ASGI gets none."""
        channel = SocketChannel(self)
        self.queue = channel  # type: ignore[assignment]  # what uvicorn puts there is for us
        # uvicorn pauses after each message, unless it believes that it has done so already.
        self.read_paused = True
        if self._reads == 1:
            # Only the handshake was read: what comes next begins at a frame's boundary.
            self._cutter = WebSocketFrameReader(
                channel.inbox.put,
                super().data_received,
                is_server=True,
                max_bytes=self.config.ws_max_size,
            )
        return channel

    def data_received(self, data: bytes) -> None:
        """Take what was read."""
        cutter = self._cutter
        if cutter is None:
            self._reads += 1
            super().data_received(data)
        elif self.conn.state is State.OPEN:
            cutter.feed(data)
        else:
            cutter.finish(data)


class SocketChannel:
    """The FrameChannel over a claimed socket."""

    def __init__(self, socket: SessionSocket) -> None:
        self._socket = socket
        self.inbox = Inbox(socket.transport)
        "Gets the whole messages that the frame reader cuts out of the socket's bytes."

    def put_nowait(self, message: dict[str, Any]) -> None:
        """Accept an ASGI message from uvicorn: the end, or a message that came in fragments."""
        if message["type"] == "websocket.receive":
            data = message.get("bytes")
            self.inbox.put(message["text"] if data is None else data)
        else:
            closed = ChannelClosed(message.get("code", 1006), message.get("reason") or "")
            self.inbox.close(closed)

    def listen(self, listener: Listener) -> None:
        """Offer each message to the listener first."""
        self.inbox.listener = listener

    @property
    def is_writable(self) -> bool:
        """Whether the client keeps up."""
        return self._socket.writable.is_set()

    def write(self, data: Data) -> None:
        """Send one message without waiting."""
        socket = self._socket
        if socket.disconnected or socket.close_sent or socket.conn.state is not State.OPEN:
            raise self.inbox.closed or ChannelClosed()
        for piece in server_frames(data):
            socket.transport.write(piece)

    async def send(self, data: Data) -> None:
        """Send one message."""
        if not self._socket.writable.is_set():
            await self._socket.writable.wait()
        self.write(data)

    async def receive(self) -> Data:
        """Return the next message."""
        return await self.inbox.get()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Send the close frame."""
        socket = self._socket
        if not (socket.disconnected or socket.close_sent):
            await socket.send({"type": "websocket.close", "code": code, "reason": reason[:120]})
