"""A server in this process whose every message a test writes itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openenv.channel import FrameChannel, memory_pair
from openenv.client.link.dialing import Dialed
from openenv.client.link.link import ClientLink
from openenv.protocol.frames import (
    SUBPROTOCOL_MSGPACK,
    ClientFrame,
    ClientHello,
    ServerFrame,
    ServerHello,
)
from openenv.protocol.wire import WIRES
from tests.patience import within

WIRE = WIRES[SUBPROTOCOL_MSGPACK]
_DECODER = WIRE.decoder(ClientFrame, lambda _id, message: message)


class ScriptedServer:
    """Sockets that wait for their greeting; `frames` and `send` are what travels on one."""

    def __init__(self) -> None:
        self.sockets: asyncio.Queue[FrameChannel] = asyncio.Queue()

    async def dial(self) -> Dialed:
        ours, theirs = memory_pair()
        self.sockets.put_nowait(theirs)
        return Dialed(ours, SUBPROTOCOL_MSGPACK)

    async def greet(self, token: str = "one", **fields: Any) -> FrameChannel:
        """Answer the next socket's hello; return the socket."""
        socket = await self.sockets.get()
        hello: ClientHello = WIRE.decode_hello(await socket.receive(), ClientHello)
        fields.setdefault("resumed", hello.token is not None)
        await socket.send(WIRE.encode(ServerHello(token=token, **fields)))
        return socket


async def frames(socket: FrameChannel) -> list[Any]:
    """Return the frames of the next message that is not only an acknowledgement."""
    while True:
        _, received = _DECODER.decode(await socket.receive())
        if received:
            return list(received)


async def send(socket: FrameChannel, *sent: ServerFrame, received: int = 0) -> None:
    """Send a message that acknowledges the client's messages up to `received`."""
    await socket.send(WIRE.encode((received, sent)))


@asynccontextmanager
async def linked(
    server: ScriptedServer, **options: Any
) -> AsyncIterator[tuple[ClientLink, FrameChannel]]:
    """A link to the server that is open, and its first socket; all within 10 s."""
    link = ClientLink(server.dial, **options)
    async with within(10):
        opening = asyncio.create_task(link.open())
        socket = await server.greet()
        await opening
        try:
            yield link, socket
        finally:
            await link.aclose()
