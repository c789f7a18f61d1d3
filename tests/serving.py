"""`async with serving(app) as url`: an app under uvicorn on a free port, in the test's own loop."""

import asyncio
import queue
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from openenv.server.links.uvicorn_socket import SessionSocket
from tests.patience import patient, within


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
        async with within(10):
            while not server.started:
                if task.done():
                    await task
                await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@contextmanager
def serving_elsewhere(app: Any, **options: Any) -> Iterator[str]:
    """Yield the base URL of an app on a thread with an event loop of its own, for blocking code."""
    ready: queue.SimpleQueue[str] = queue.SimpleQueue()
    stopped = threading.Event()

    async def serve() -> None:
        async with serving(app, **options) as url:
            ready.put(url)
            await asyncio.to_thread(stopped.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="openenv-test-server")
    thread.start()
    try:
        yield ready.get(timeout=patient(10))
    finally:
        stopped.set()
        thread.join()
