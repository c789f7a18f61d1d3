"""Dialing: from a server's URL to a channel over a WebSocket, and the agreed subprotocol.

Knows nothing of frames; websocket_channel.py holds the socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from openenv.address import is_loopback, unix_path, websocket_url
from openenv.protocol.wire import WIRES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openenv.channel import FrameChannel


class Dialed(NamedTuple):
    """A channel, and the subprotocol that the server chose; None is the legacy dialect."""

    channel: FrameChannel
    subprotocol: str | None


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
        is_local=is_loopback(target),
        unix_path=unix_path(url),
    )
    return Dialed(channel, subprotocol)
