"""SessionSocket: uvicorn's WebSocket with a shorter way for whole messages; `serve` uses it.

ASGI costs a queue, a dict and a pause of the socket for every message, which is most of what a
message costs here. uvicorn keeps handshake, limits, pings and closing. Under another server the
same endpoint speaks plain ASGI (connection.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from openenv.channel import ChannelClosed, Inbox
from openenv.server.connection import CLAIM_EXTENSION

if TYPE_CHECKING:
    from openenv.channel import Data

MAX_UNREAD = 16
"Messages that may wait for their reader before no more are read from the socket."


class SessionSocket(WebSocketsSansIOProtocol):
    """Offers itself to the application as an ASGI extension, whose value is `claim`."""

    async def run_asgi(self) -> None:
        """Run the application, with the offer."""
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[CLAIM_EXTENSION] = self.claim
        await super().run_asgi()

    def claim(self) -> SocketChannel:
        """Take the messages of an accepted socket from now on; `receive` of ASGI gets none."""
        channel = SocketChannel(self)
        self.queue = channel  # type: ignore[assignment]  # what uvicorn puts there is for us
        # uvicorn pauses after each message, unless it believes that it has done so already.
        self.read_paused = True
        return channel


class SocketChannel:
    """The FrameChannel over a claimed socket."""

    def __init__(self, socket: SessionSocket) -> None:
        self._socket = socket
        self._inbox = Inbox()

    def put_nowait(self, message: dict[str, Any]) -> None:
        """Take an ASGI message from uvicorn."""
        if message["type"] != "websocket.receive":
            closed = ChannelClosed(message.get("code", 1006), message.get("reason") or "")
            self._inbox.close(closed)
            return
        data = message.get("bytes")
        self._inbox.put(message["text"] if data is None else data)
        if len(self._inbox) == MAX_UNREAD + 1:
            self._socket.transport.pause_reading()

    async def send(self, data: Data) -> None:
        """Send one message."""
        socket = self._socket
        if not socket.writable.is_set():
            await socket.writable.wait()
        if socket.disconnected or socket.close_sent:
            raise self._inbox.closed or ChannelClosed()
        try:
            if type(data) is bytes:
                socket.conn.send_binary(data)
            else:
                socket.conn.send_text(data.encode())  # type: ignore[union-attr]
        except InvalidState as error:
            raise ChannelClosed() from error
        socket.transport.write(b"".join(socket.conn.data_to_send()))

    async def receive(self) -> Data:
        """Return the next message."""
        data = await self._inbox.get()
        if len(self._inbox) == MAX_UNREAD:
            self._socket.transport.resume_reading()
        return data

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Send the close frame."""
        socket = self._socket
        if not (socket.disconnected or socket.close_sent):
            await socket.send({"type": "websocket.close", "code": code, "reason": reason[:120]})
