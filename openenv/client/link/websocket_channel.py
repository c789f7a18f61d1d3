"""WebSocketChannel: the FrameChannel over a client's WebSocket.

The only module of the client that imports websockets; dialing.py imports it with the first dial,
because that takes as long as everything else of the client together. Knows nothing of frames.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol

from openenv.channel import ChannelClosed, Inbox
from openenv.errors import ConfigurationError, ConnectError
from openenv.framing import WebSocketFrameReader, client_frames

if TYPE_CHECKING:
    from asyncio import BaseTransport
    from collections.abc import Mapping

    from websockets.protocol import Event

    from openenv.channel import Data, Listener


class WebSocketChannel(ClientConnection):
    """A WebSocket whose whole messages take a short way.

    websockets keeps the protocol: handshake, limits, pings, closing. Messages go straight to the
    one task that reads, and are written without a context manager for each.
    """

    def __init__(self, *arguments: Any, max_message_bytes: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._max_message_bytes = max_message_bytes
        self._inbox = Inbox()
        self._handshake = b""
        self._cutter: WebSocketFrameReader | None = None
        self._fragments: list[Any] = []
        self._is_text = False

    def connection_made(self, transport: BaseTransport) -> None:
        """Pause this transport while too many messages are unread."""
        super().connection_made(transport)
        self._inbox.transport = self.transport

    def data_received(self, data: bytes) -> None:
        """Cut messages out of the bytes that were read; websockets gets all others."""
        if self._cutter is None:
            self._read_handshake(data)
        elif self.protocol.state is State.OPEN:
            self._cutter.feed(data)
        else:
            self._cutter.finish(data)

    def _read_handshake(self, data: bytes) -> None:
        """Feed the response up to the end of its headers: from there on frames are counted."""
        self._handshake += data
        headers, blank_line, rest = self._handshake.partition(b"\r\n\r\n")
        if not blank_line:
            return
        self._handshake = b""
        self._cutter = WebSocketFrameReader(
            self._inbox.put,
            super().data_received,
            is_server=False,
            max_bytes=self._max_message_bytes,
        )
        super().data_received(headers + blank_line)
        if rest:
            self.data_received(rest)

    def process_event(self, event: Event) -> None:
        """Accept messages that came in fragments; every other frame is websockets' affair."""
        if not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode is Opcode.BINARY and event.fin:
            self._inbox.put(bytes(event.data))
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._add_fragment(event)
        else:
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the reader know the end."""
        super().connection_lost(exc)
        self._inbox.close(self._why_closed())

    def listen(self, listener: Listener) -> None:
        """Offer each message to the listener first."""
        self._inbox.listener = listener

    @property
    def is_writable(self) -> bool:
        """Whether the server keeps up."""
        return not self.paused

    def write(self, data: Data) -> None:
        """Send one message without waiting."""
        if self.protocol.state is not State.OPEN:
            raise self._why_closed()
        for piece in client_frames(data):
            self.transport.write(piece)

    async def send(self, data: Data) -> None:  # type: ignore[override]  # whole messages only
        """Send one message."""
        self.write(data)
        if self.paused:
            try:
                await self.drain()
            except OSError as error:
                raise ChannelClosed(1006, str(error)) from error

    async def receive(self) -> Data:
        """Return the next message."""
        return await self._inbox.get()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket, with the closing handshake."""
        await self.close(code, reason[:120])

    def _add_fragment(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._fragments.append(frame.data)
        if not frame.fin:
            return
        data, self._fragments = b"".join(self._fragments), []
        try:
            self._inbox.put(data.decode() if self._is_text else data)
        except UnicodeDecodeError:
            self.protocol.fail(CloseCode.INVALID_DATA, "text that is not UTF-8")
            self.send_data()

    def _why_closed(self) -> ChannelClosed:
        close = self.protocol.close_rcvd or self.protocol.close_sent
        return ChannelClosed() if close is None else ChannelClosed(close.code, close.reason)


async def open_channel(
    url: str,
    target: str,
    *,
    subprotocols: tuple[str, ...],
    connect_timeout_s: float,
    max_message_bytes: int,
    headers: Mapping[str, str] | None,
    is_local: bool,
    unix_path: str | None = None,
) -> tuple[WebSocketChannel, str | None]:
    """Connect to `target`; return the channel and the subprotocol that the server chose.

    With `unix_path` the socket is that one, and `target` only what is asked of it. Raises
    ConnectError, ConfigurationError; their texts name `url`.
    """
    make_channel = partial(WebSocketChannel, max_message_bytes=max_message_bytes)
    unix: dict[str, Any] = {} if unix_path is None else {"unix": True, "path": unix_path}
    try:
        channel = await connect(
            target,
            create_connection=make_channel,  # type: ignore[arg-type]  # it is only called
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            # Deflating costs more time than it saves bytes: docs/topics/design.md.
            compression=None,
            max_size=max_message_bytes,
            open_timeout=connect_timeout_s,
            additional_headers=headers,
            # A proxy for the outside must not be asked for servers on this machine.
            proxy=None if is_local else True,
            **unix,
        )
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise ConnectError(f"no openenv server answers at {url}: {error}") from error
    except InvalidURI as error:
        raise ConfigurationError(f"{url!r} is not the URL of a server: {error}") from error
    assert isinstance(channel, WebSocketChannel)
    return channel, channel.subprotocol
