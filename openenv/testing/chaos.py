"""CuttingProxy: a TCP proxy that cuts each connection after a given number of bytes.

Tests use it to see what survives. Knows nothing of WebSockets: a cut may fall before, in the middle
of, or after a message.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

CHUNK_BYTES = 65_536


class CuttingProxy:
    """Forwards to 127.0.0.1:`port`. Use it through `cutting_proxy`, which starts and stops it."""

    def __init__(self, port: int, budget: Callable[[], tuple[int, int]]) -> None:
        self.target_port = port
        self._budget = budget
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.cuts = 0
        "How many connections were cut."
        self.is_refusing = False
        "While True, new connections are closed at once, as if the server were down."
        self.port = 0

    def cut(self) -> None:
        """Cut every connection now."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection, up to its budget of bytes in each direction."""
        if self.is_refusing:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        up_bytes, down_bytes = self._budget()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        self._writers.update((writer, far_writer))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, far_writer, up_bytes))
                group.create_task(self._forward(far_reader, writer, down_bytes))
        except* _Cut:
            self.cuts += 1
        finally:
            for end in (writer, far_writer):
                end.transport.abort()
                self._writers.discard(end)
            self._tasks.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget_bytes: int
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                writer.write(data[:budget_bytes])
                await writer.drain()
                budget_bytes -= len(data)
                if budget_bytes <= 0:
                    raise _Cut
        raise _Over

    async def stop(self) -> None:
        """Cut every connection and wait until all forwarding tasks have ended."""
        self.cut()
        if self._tasks:
            await asyncio.wait(set(self._tasks))


class _Cut(Exception):
    """The connection has used up its budget of bytes."""


class _Over(_Cut):
    """One side has closed the connection, so the other side is closed, too."""


@asynccontextmanager
async def cutting_proxy(
    port: int, budget: Callable[[], tuple[int, int]] = lambda: (1 << 60, 1 << 60)
) -> AsyncIterator[CuttingProxy]:
    """Yield a proxy to a local port.

    `budget()` is called for each connection and returns how many bytes may pass (up, down).
    """
    proxy = CuttingProxy(port, budget)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
