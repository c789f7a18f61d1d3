"""Puts load on serve_floor: a message of a step's size, there and back, one socket per session.

`python -m benchmarks.load_floor tcp|websocket` announces {"versions"}, then answers the requests
that benchmarks/peers/programs/closed_loop.py describes. Knows no openenv.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvloop
from websockets.asyncio.client import connect

from benchmarks.peers.programs.closed_loop import MESSAGE, Lane, answer_requests
from benchmarks.peers.programs.listening import announce, versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_DATA = MESSAGE.encode()


class _Caller(asyncio.Protocol):
    """One message at a time on one socket."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._write = transport.write  # type: ignore[attr-defined] # a stream's transport has it
        self._new_future = asyncio.get_running_loop().create_future
        self._missing = 0

    def data_received(self, data: bytes) -> None:
        self._missing -= len(data)
        if not self._missing:
            self._answer.set_result(None)

    def call(self) -> asyncio.Future[None]:
        self._answer = self._new_future()
        self._missing = len(_DATA)
        self._write(_DATA)
        return self._answer


@asynccontextmanager
async def tcp(url: str, sessions: int) -> AsyncIterator[list[Lane]]:
    """Plain TCP."""
    loop, port = asyncio.get_running_loop(), urlsplit(url).port or 0
    callers = [
        (await loop.create_connection(_Caller, "127.0.0.1", port))[1] for _ in range(sessions)
    ]
    try:
        yield [Lane(caller.call) for caller in callers]
    finally:
        for caller in callers:
            caller.transport.close()


@asynccontextmanager
async def websocket(url: str, sessions: int) -> AsyncIterator[list[Lane]]:
    """The websockets library's client, as ours and the published one use it."""
    async with AsyncExitStack() as stack:
        lanes = []
        for _ in range(sessions):
            socket = await stack.enter_async_context(
                connect(url.replace("http", "ws", 1), compression=None)
            )

            async def call(send=socket.send, receive=socket.recv) -> None:  # type: ignore[no-untyped-def]
                await send(_DATA)
                await receive()

            lanes.append(Lane(call))
        yield lanes


def main() -> None:
    """Serve requests until standard input ends."""
    open_lanes = {"tcp": tcp, "websocket": websocket}[sys.argv[1]]
    announce({"versions": versions()})
    answer_requests(open_lanes, uvloop.run)


if __name__ == "__main__":
    main()
