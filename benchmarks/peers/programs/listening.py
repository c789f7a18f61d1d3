"""Serves an ASGI app on a free port and announces the port: for every interpreter's programs.

Knows nothing of any release of openenv; uvicorn keeps its own defaults beyond loop and parser.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_SHOWN = ("openenv", "openenv-core", "uvicorn", "websockets", "starlette", "fastapi", "pydantic")
_FAST = ("uvloop", "httptools", "msgspec")
_OTHERS = ("grpcio", "protobuf", "ray")


def serve(app: Any, **settings: Any) -> None:
    """Serve `app` on the loopback until the process is told to end; `settings` are uvicorn's."""
    import uvicorn  # noqa: PLC0415 - programs that only announce themselves have none

    class AnnouncingServer(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            announce_server(self.servers[0])

    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        **settings,
    )
    AnnouncingServer(config).run()


def announce_server(server: asyncio.Server) -> None:
    """Announce {"url", "versions"} of a server that listens on the loopback."""
    port = server.sockets[0].getsockname()[1]
    announce({"url": f"http://127.0.0.1:{port}", "versions": versions()})


def announce(line: dict[str, Any]) -> None:
    """Print one line of JSON for whoever started this program."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def versions() -> dict[str, str]:
    """Return the versions of the packages that matter, those that are installed."""
    found = {}
    for name in (*_SHOWN, *_FAST, *_OTHERS):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
