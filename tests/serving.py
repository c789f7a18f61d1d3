"""`async with serving(app) as url`: an app under uvicorn, in the test's own event loop, on a free port."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from openenv.server.websocket import SessionSocket


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """Yield the base URL; afterwards the server is stopped and its lifespan is over."""
    listener = socket.socket()
    # asyncio would do it only for sockets made with an explicit protocol, and a reply of two writes
    # then waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", 0))
    defaults: dict[str, Any] = {
        "log_level": "warning",
        "ws": SessionSocket,
        "ws_per_message_deflate": False,
        "timeout_graceful_shutdown": 5,
    }
    server = uvicorn.Server(uvicorn.Config(app, **{**defaults, **options}))
    # uvicorn would take over the signals of the test process.
    task = asyncio.get_running_loop().create_task(server._serve(sockets=[listener]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                if task.done():
                    await task
                await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()
