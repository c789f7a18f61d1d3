"""The same server and clients over every transport, so that behaviours are tested once for all."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from openenv.app import create_app
from openenv.channel import memory_pair
from openenv.client.generic import GenericEnvClient
from openenv.client.http.connection import HttpConnection
from openenv.client.link.dialing import Dialed, dial
from openenv.client.link.link import ClientLink
from openenv.client.pool import Pool
from openenv.protocol.frames import MAX_MESSAGE_BYTES, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from openenv.server.links.connection import serve_channel
from openenv.server.sessions.registry import SessionRegistry
from tests.patience import patient
from tests.serving import serving

if TYPE_CHECKING:
    from openenv.client.env import EnvClient

NATIVE = ("memory", "websocket", "json", "asgi")
WEBSOCKET = (*NATIVE, "legacy")
EVERY = (*WEBSOCKET, "http")
STRICT = (*NATIVE, "http")
"All but the legacy dialect, which allows and loses what the others do not."
_SUBPROTOCOLS = {
    "websocket": (SUBPROTOCOL_MSGPACK,),
    "asgi": (SUBPROTOCOL_MSGPACK,),
    "json": (SUBPROTOCOL_JSON,),
    "legacy": (),
}


class World:
    """A running server, and clients of it over one transport."""

    def __init__(self, transport: str, registry: SessionRegistry, url: str) -> None:
        self.transport = transport
        self.registry = registry
        self.url = url
        self._stack = AsyncExitStack()

    def connection(self) -> Any:
        if self.transport == "http":
            return HttpConnection(self.url)
        if self.transport == "memory":
            return ClientLink(self._dial_memory)
        return ClientLink(
            partial(
                dial,
                self.url,
                connect_timeout_s=patient(5),
                max_message_bytes=MAX_MESSAGE_BYTES,
                subprotocols=_SUBPROTOCOLS[self.transport],
            )
        )

    async def client(
        self, cls: Any = GenericEnvClient, connection: Any = None, **options: Any
    ) -> Any:
        """A connected client; closed with the world, with its connection if that is its own."""
        if connection is None:
            connection = self.connection()
            self._stack.push_async_callback(connection.aclose)
        client: EnvClient[Any, Any, Any] = cls(self.url or "memory", link=connection, **options)
        await client.connect()
        self._stack.push_async_callback(client.close)
        return client

    def pool(self) -> Pool:
        """A pool of this server's sessions; the caller closes it."""
        return Pool(self.url)

    async def _dial_memory(self) -> Dialed:
        ours, theirs = memory_pair()
        self.registry.spawn(serve_channel, self.registry, theirs, SUBPROTOCOL_MSGPACK)
        return Dialed(ours, SUBPROTOCOL_MSGPACK)


@asynccontextmanager
async def world(transport: str, environment: Any, **options: Any) -> AsyncIterator[World]:
    """Serve an environment; afterwards every client is closed and the server has ended."""
    sockets = {name: options.pop(name) for name in ("ws_max_size",) if name in options}
    app = create_app(environment, **options)
    registry: SessionRegistry = app.state.registry
    async with AsyncExitStack() as stack:
        if transport == "memory":
            await registry.start()
            stack.push_async_callback(registry.aclose)
            url = ""
        else:
            # Any ASGI server's WebSocket, and the one that `serve` uses.
            if transport == "asgi":
                sockets["ws"] = "websockets-sansio"
            url = await stack.enter_async_context(serving(app, **sockets))
        one = World(transport, registry, url)
        async with one._stack:
            yield one
