"""Servers that say hello wrongly: their clients are told so, and at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from openenv.client.link.link import ClientLink
from openenv.errors import RemoteProtocolError
from openenv.protocol.frames import CLOSE_PROTOCOL_ERROR, SUBPROTOCOL_JSON, Close
from tests.patience import within

GOOD = '["hello", 1, "t"]'
WRONG = ['["hello", 2, "t"]', '["hello", 1, "other", true]', '["hello", 1, "t", true, 99]', "[]"]


class Server:
    """Answers each socket's hello with the next of its own; then waits, or loses the socket."""

    def __init__(self, *hellos: str) -> None:
        self.hellos = list(hellos)
        self.close_codes: list[int | None] = []

    async def handle(self, socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(self.hellos.pop(0))
        if self.hellos:
            await socket.recv()
            socket.transport.abort()
        await socket.wait_closed()
        self.close_codes.append(socket.close_code)


@asynccontextmanager
async def connection_to(server: Server) -> AsyncIterator[ClientLink]:
    subprotocols = [Subprotocol(SUBPROTOCOL_JSON)]
    async with (
        within(10),
        serve(server.handle, "127.0.0.1", 0, subprotocols=subprotocols) as listening,
    ):
        port = next(iter(listening.sockets)).getsockname()[1]
        connection = ClientLink.to(f"http://127.0.0.1:{port}")
        try:
            yield connection
        finally:
            await connection.aclose()


@pytest.mark.parametrize("hello", ['["hello", 2, "t"]', '["hello", 1, "t", true]', "[]"])
async def test_a_wrong_first_hello_fails_to_connect(hello: str) -> None:
    server = Server(hello)
    async with connection_to(server) as connection:
        with pytest.raises(RemoteProtocolError):
            await connection.open()
        assert not connection.is_open
    assert server.close_codes == [CLOSE_PROTOCOL_ERROR]


@pytest.mark.parametrize("hello", WRONG)
async def test_a_wrong_hello_after_a_lost_socket_fails_the_pending_requests(hello: str) -> None:
    server = Server(GOOD, hello)
    async with connection_to(server) as connection:
        await connection.open()
        request: Any = Close(connection.next_id(), 1)
        reply = await connection.request(request, timeout_s=60)
        assert (reply.id, reply.code) == (request.id, RemoteProtocolError.code)
        assert not connection.is_open
    assert server.close_codes[1] == CLOSE_PROTOCOL_ERROR
