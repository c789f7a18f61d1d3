"""Dialing: from a server's URL to a channel over a WebSocket, and the agreed subprotocol.

Knows nothing of frames; websocket_channel.py holds the socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from openenv.errors import ConfigurationError
from openenv.protocol.wire import WIRES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openenv.channel import FrameChannel

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Dialed(NamedTuple):
    """A channel, and the subprotocol that the server chose; None is the legacy dialect."""

    channel: FrameChannel
    subprotocol: str | None


def unix_path(url: str) -> str | None:
    """Return the path of the Unix domain socket that a URL like `unix:/run/openenv.sock` names."""
    return url.removeprefix("unix:").removeprefix("//") if url.startswith("unix:") else None


def http_url(url: str) -> str:
    """Return the base URL of a server as http(s), without a trailing slash.

    Behind a Unix domain socket every server is localhost. Raises ConfigurationError.
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
    from openenv.client.link.websocket_channel import open_channel  # noqa: PLC0415 - slow to import

    channel, subprotocol = await open_channel(
        url,
        target,
        subprotocols=subprotocols,
        connect_timeout_s=connect_timeout_s,
        max_message_bytes=max_message_bytes,
        headers=headers,
        is_local=urlsplit(target).hostname in LOOPBACK,
        unix_path=unix_path(url),
    )
    return Dialed(channel, subprotocol)


def _split(url: str) -> tuple[str, str, str]:
    path = unix_path(url)
    if path is not None:
        if not path:
            raise ConfigurationError(f"{url!r} names no socket: write it like unix:/run/env.sock")
        return "ws", "localhost", ""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ConfigurationError(
            f"{url!r} is not the URL of a server: write it like http://127.0.0.1:8000"
        )
    return scheme, parts.netloc, parts.path.rstrip("/")
