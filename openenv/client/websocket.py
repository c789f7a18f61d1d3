"""Dialing: from a server's URL to a channel over a real WebSocket, and what was agreed on.

The only place of the client that imports websockets. Knows nothing of frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from openenv.channel import ChannelClosed, Data, FrameChannel
from openenv.errors import ConfigurationError, ConnectError
from openenv.protocol.wire import WIRES

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Dialed(NamedTuple):
    """A channel, and the subprotocol that the server chose; None is the legacy dialect."""

    channel: FrameChannel
    subprotocol: str | None


class WebSocketChannel:
    """The FrameChannel over a client's WebSocket."""

    __slots__ = ("_socket",)

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, data: Data) -> None:
        """Send one message."""
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise _channel_closed(error) from error

    async def receive(self) -> Data:
        """Return the next message."""
        try:
            return await self._socket.recv()
        except ConnectionClosed as error:
            raise _channel_closed(error) from error

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket, with the closing handshake."""
        await self._socket.close(code, reason[:120])


def http_url(url: str) -> str:
    """Return the base URL of a server as http(s), without a trailing slash.

    Raises ConfigurationError.
    """
    scheme, host, path = _split(url)
    return urlunsplit(({"ws": "http", "wss": "https"}[scheme], host, path, "", ""))


def websocket_url(url: str) -> str:
    """Return the URL of a server's session endpoint.

    A bare host is ws. Raises ConfigurationError.
    """
    scheme, host, path = _split(url)
    return urlunsplit((scheme, host, path if path.endswith("/ws") else f"{path}/ws", "", ""))


async def dial(
    url: str,
    *,
    connect_timeout_s: float,
    max_message_bytes: int,
    headers: Mapping[str, str] | None = None,
    subprotocols: tuple[str, ...] = tuple(WIRES),
) -> Dialed:
    """Open a WebSocket to the server at this base URL. Raises ConnectError."""
    target = websocket_url(url)
    try:
        socket = await connect(
            target,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            # Deflating costs more time than it saves bytes: performance notes in the documentation.
            compression=None,
            max_size=max_message_bytes,
            # The link resends what a full queue would drop, so the socket may buffer little.
            max_queue=16,
            open_timeout=connect_timeout_s,
            additional_headers=headers,
            # A proxy for the outside must not be asked for servers on this machine.
            proxy=None if urlsplit(target).hostname in LOOPBACK else True,
        )
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise ConnectError(f"no openenv server answers at {url}: {error}") from error
    except InvalidURI as error:
        raise ConfigurationError(f"{url!r} is not the URL of a server: {error}") from error
    return Dialed(WebSocketChannel(socket), socket.subprotocol)


def _split(url: str) -> tuple[str, str, str]:
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ConfigurationError(
            f"{url!r} is not the URL of a server: write it like http://127.0.0.1:8000"
        )
    return scheme, parts.netloc, parts.path.rstrip("/")


def _channel_closed(error: ConnectionClosed) -> ChannelClosed:
    close = error.rcvd or error.sent
    return ChannelClosed(close.code, close.reason) if close is not None else ChannelClosed()
