"""Echoes bytes and nothing else: what a session server cannot beat without sending less often.

`python -m benchmarks.serve_floor tcp|websocket` announces {"url", "versions"}. Knows no openenv.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

from benchmarks.peers.programs.listening import announce_server, serve


class Echo(asyncio.Protocol):
    """Sends back what it receives."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._write = transport.write  # type: ignore[attr-defined] # a stream's transport has it

    def data_received(self, data: bytes) -> None:
        """Echo; a closed loop has one message per session under way, so chunks are messages."""
        self._write(data)


async def _serve_tcp() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    announce_server(server)
    await server.serve_forever()


async def _echo_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"]})


def main() -> None:
    """Serve until told to end."""
    if sys.argv[1] == "tcp":
        uvloop.run(_serve_tcp())
        return
    serve(_echo_app, ws="websockets-sansio", ws_per_message_deflate=False, lifespan="off")


if __name__ == "__main__":
    main()
