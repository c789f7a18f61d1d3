"""What of ours can be switched off or exchanged to see what it costs, one at a time.

Owns how: by a setting where there is one, else by a patch of this process that nobody should use
elsewhere. serve_features and load_features turn the same switch on their side; features.py asks.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop
from websockets.asyncio.client import connect

from openenv.channel import ChannelClosed
from openenv.client.link import dialing
from openenv.protocol.frames import SUBPROTOCOL_JSON

if TYPE_CHECKING:
    from openenv.channel import Data
    from openenv.client.link.websocket_channel import WebSocketChannel
    from openenv.protocol.link import Link
    from openenv.server.links.uvicorn_socket import SocketChannel


def _nothing() -> None:
    """Leave everything as it is."""


@dataclass(frozen=True)
class Switch:
    """One thing that is otherwise than usual."""

    on_server: Callable[[], None] = _nothing
    on_client: Callable[[], None] = _nothing
    config: dict[str, Any] = field(default_factory=dict)
    "Of ServerConfig."
    spectators: int = 0
    "How many watch all sessions, from a process of their own."
    tune_gc: bool = True
    run: Callable[[Any], Any] = uvloop.run
    "The client's event loop."


def _patch(name: str, stand_in: Any) -> None:
    """Put something else in place of what a full name means, for the rest of this process."""
    owner, _, attribute = name.rpartition(".")
    if not hasattr(resolve_name(owner), attribute):
        raise LookupError(f"there is no {name} to patch")
    setattr(resolve_name(owner), attribute, stand_in)


def _keep_no_messages() -> None:
    """Number messages, but forget them at once: what a socket loses is lost."""

    def keep(self: Link, message: Data, size: int) -> None:
        self.sent += 1

    def take_acknowledgement(self: Link, number: int) -> None:
        self.acknowledged = number

    _patch("openenv.protocol.link.Link.keep", keep)
    _patch("openenv.protocol.link.Link.take_acknowledgement", take_acknowledgement)


def _never_ping() -> None:
    _patch("openenv.client.link.websocket_channel.connect", partial(connect, ping_interval=None))


def _offer_json_only() -> None:
    json_only = partial(dialing.dial, subprotocols=(SUBPROTOCOL_JSON,))
    _patch("openenv.client.link.link.dial", json_only)


def _deflate_at_server() -> None:
    """Negotiate permessage-deflate, and let websockets write, which then deflates."""

    def write(self: SocketChannel, data: Data) -> None:
        socket = self._socket
        if not socket.conn.extensions:
            raise RuntimeError("permessage-deflate was not negotiated")
        if socket.disconnected:
            raise ChannelClosed
        socket.conn.send_binary(data)  # type: ignore[arg-type]
        socket.transport.writelines(socket.conn.data_to_send())

    _patch("openenv.server.links.uvicorn_socket.SocketChannel.write", write)
    plain_config = uvicorn.Config

    def deflating_config(*arguments: Any, **settings: Any) -> uvicorn.Config:
        return plain_config(*arguments, **{**settings, "ws_per_message_deflate": True})

    _patch("uvicorn.Config", deflating_config)


def _deflate_at_client() -> None:
    def write(self: WebSocketChannel, data: Data) -> None:
        self.protocol.send_binary(data)  # type: ignore[arg-type]
        self.send_data()

    def deflating_connect(*arguments: Any, **options: Any) -> Any:
        return connect(*arguments, **{**options, "compression": "deflate"})

    _patch("openenv.client.link.websocket_channel.WebSocketChannel.write", write)
    _patch("openenv.client.link.websocket_channel.connect", deflating_connect)


def _hide_uvloop() -> None:
    """Let uvicorn find asyncio's own event loop only."""
    sys.modules["uvloop"] = None  # type: ignore[assignment]


def _connect(connections: int) -> None:
    """Spread the sessions of a pool over so many connections, in place of two."""
    _patch("benchmarks.load_ours._CONNECTIONS", connections)


SWITCHES = {
    "nothing": Switch(),
    "no-pings": Switch(config={"keepalive_s": None}, on_client=_never_ping),
    "many-pings": Switch(config={"keepalive_s": 0.05}),
    "no-keeping": Switch(on_server=_keep_no_messages, on_client=_keep_no_messages),
    "deadlines": Switch(config={"step_timeout_s": 30.0, "idle_timeout_s": 3600.0}),
    "watchable": Switch(config={"watch": True}),
    "watched": Switch(config={"watch": True}, spectators=10),
    "no-gc-tuning": Switch(tune_gc=False),
    "json": Switch(on_client=_offer_json_only),
    "deflate": Switch(on_server=_deflate_at_server, on_client=_deflate_at_client),
    "one-connection": Switch(on_client=partial(_connect, 1)),
    "four-connections": Switch(on_client=partial(_connect, 4)),
    "no-uvloop": Switch(on_server=_hide_uvloop, run=asyncio.run),
}
"By the name that the programs are given."
