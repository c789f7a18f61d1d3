"""One connection: negotiates the dialect, resumes or creates its link, and reads until it is lost.

Owns the raw ASGI route of /ws, and the same over any FrameChannel (`serve_channel`). Does not know
what a message means: it passes each to link.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio

from openenv.channel import ChannelClosed, Data, FrameChannel, direct
from openenv.errors import OpenEnvError, RemoteProtocolError
from openenv.protocol.frames import CLOSE_FENCED, CLOSE_NORMAL, CLOSE_PROTOCOL_ERROR
from openenv.protocol.legacy import LegacyServerProtocol
from openenv.protocol.server import ServerProtocol, read_hello
from openenv.protocol.wire import WIRES, Wire, choose_subprotocol
from openenv.server.links.link import SessionLink
from openenv.server.links.segment import make_segment

if TYPE_CHECKING:
    from openenv.protocol.link import Link
    from openenv.server.links.segment import Segment
    from openenv.server.sessions.registry import SessionRegistry

logger = logging.getLogger("openenv.server")

HELLO_TIMEOUT_S = 10.0
FENCE_S = 1.0

ENDING_CLOSE_CODES = frozenset((CLOSE_NORMAL, CLOSE_PROTOCOL_ERROR, 1007, 1009))
"Close codes that end the link, whichever side sent them; see docs/reference/protocol.md."

CLAIM_EXTENSION = "openenv.claim"
"The ASGI extension of a server that can give us its socket directly: see uvicorn_socket.py."

Message = MutableMapping[str, Any]


class AsgiChannel:
    """The FrameChannel over an accepted ASGI WebSocket."""

    __slots__ = ("_is_closed", "_receive", "_send")

    def __init__(
        self, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        self._receive = receive
        self._send = send
        self._is_closed = False

    async def send(self, data: Data) -> None:
        """Send one message."""
        key = "bytes" if type(data) is bytes else "text"
        try:
            await self._send({"type": "websocket.send", key: data})
        except (OSError, RuntimeError) as error:
            # The peer is gone. The ASGI specification has the server raise OSError then; some
            # servers raise RuntimeError.
            raise ChannelClosed(1006, str(error)) from error

    async def receive(self) -> Data:
        """Return the next message."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._is_closed = True
            raise ChannelClosed(message.get("code", 1006), message.get("reason") or "")
        data = message.get("bytes")
        return data if data is not None else message["text"]  # type: ignore[no-any-return]

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Send the close frame."""
        if not self._is_closed:
            self._is_closed = True
            try:
                await self._send({"type": "websocket.close", "code": code, "reason": reason[:120]})
            except (OSError, RuntimeError):
                logger.debug("the peer was gone before its socket could be closed")


class SessionEndpoint:
    """The ASGI application of /ws."""

    def __init__(self, registry: SessionRegistry) -> None:
        self.registry = registry

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve one WebSocket."""
        await receive()  # websocket.connect
        await self.registry.start()
        subprotocol = choose_subprotocol(scope.get("subprotocols") or ())
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        claim = (scope.get("extensions") or {}).get(CLAIM_EXTENSION)
        channel: FrameChannel = claim() if claim is not None else AsgiChannel(receive, send)
        await serve_channel(self.registry, channel, subprotocol)


async def serve_channel(
    registry: SessionRegistry, channel: FrameChannel, subprotocol: str | None
) -> None:
    """Serve one socket until it is lost; `subprotocol` None is the legacy dialect."""
    link: SessionLink | None = None
    try:
        if subprotocol is None:
            link = _begin_legacy(registry, channel)
        else:
            link = await _greet(registry, channel, WIRES[subprotocol])
        await _converse(link, channel)
    except ChannelClosed as closed:
        # After any other code the client may come back, so the link stays and waits for it.
        if link is not None and closed.code in ENDING_CLOSE_CODES and link.channel is channel:
            link.end(f"its connection was closed: {closed}")
    except asyncio.CancelledError:
        if link is None or link.channel is channel:
            raise
        # Cancelled by `_fence`: the link continues on a newer socket, so this one just ends.
    except RemoteProtocolError as error:
        logger.info("a connection is closed: %s", error)
        if link is not None and link.channel is channel:
            link.end(str(error))
        await channel.aclose(CLOSE_PROTOCOL_ERROR, str(error))
    finally:
        if link is not None:
            link.detach(channel)


async def _greet(registry: SessionRegistry, channel: FrameChannel, wire: Wire) -> SessionLink:
    """Exchange hellos; return the link that the client resumes, or a new one."""
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            hello = read_hello(wire, await channel.receive())
    except TimeoutError:
        raise RemoteProtocolError(f"no hello within {HELLO_TIMEOUT_S:.0f} s") from None
    link = cast("SessionLink | None", registry.links.get(hello.token or ""))
    if link is None or not link.protocol.can_resume(wire, hello):
        if link is not None:
            link.end("its client lost what it needs to resume")
        link = _begin(registry, wire)
    old = link.attach(channel)
    greeting = link.protocol.attach(hello)
    try:
        if old is not None:
            registry.spawn(_fence, *old)
        await link.outbox.greet(channel, greeting)
    except BaseException:
        # Detach, so that the link expires: the client may never have received its token.
        link.detach(channel)
        raise
    return link


def _begin(registry: SessionRegistry, wire: Wire) -> SessionLink:
    config = registry.config
    protocol = ServerProtocol(
        wire,
        registry.new_token(),
        grace_s=config.grace_s,
        keepalive_s=config.keepalive_s,
        max_message_bytes=config.max_message_bytes,
        buffer_bytes=config.buffer_bytes,
        environment=registry.spec.name,
        allows_watch=config.watch,
        make_segment=_segment_maker(registry, wire),
    )
    link = SessionLink(registry, protocol)
    registry.add_link(link)
    return link


def _segment_maker(
    registry: SessionRegistry, wire: Wire
) -> Callable[[Link], Segment | None] | None:
    """Return the function that makes shared memory for large arrays; None if it is of no use.

    JSON cannot refer to shared memory. Arrays from worker processes arrive here already encoded.
    """
    size_bytes = registry.config.shared_memory_bytes
    if wire.is_text or not size_bytes or registry.spec.convention.execution == "process":
        return None
    return partial(make_segment, size_bytes=size_bytes)


def _begin_legacy(registry: SessionRegistry, channel: FrameChannel) -> SessionLink:
    protocol = LegacyServerProtocol()
    link = SessionLink(registry, protocol)
    link.attach(channel)
    request = protocol.open()
    try:
        link.open(request)
    except OpenEnvError as error:
        link.refuse(request.id, error)
    return link


async def _converse(link: SessionLink, channel: FrameChannel) -> None:
    """Read, handle and answer messages, until the channel is lost or a newer one has the link.

    A direct channel passes most of its messages to `link.answer` instead, which replies within the
    socket's callback; only the rest is received here.
    """
    writer = asyncio.get_running_loop().create_task(link.outbox.run(channel), name="openenv-writer")
    try:
        await link.outbox.flush(channel)
        if (quick := direct(channel)) is not None:
            quick.listen(partial(link.answer, quick))
        while True:
            data = await channel.receive()
            if link.channel is not channel:
                return
            if link.is_ended:
                # The client may send requests before it has read that it is refused: write the
                # refusal, then close.
                await link.outbox.flush(channel)
                await channel.aclose(CLOSE_NORMAL)
                return
            link.handle(data)
            await link.outbox.flush(channel)
            await link.outbox.until_flushed(channel)
    finally:
        writer.cancel()
        await asyncio.wait([writer])


async def _fence(channel: FrameChannel, reader: asyncio.Task[Any]) -> None:
    """Close a channel whose link continues on a newer one, and cancel the task that reads it.

    Runs as a task of its own: the old socket may be dead without an error yet, and block writes.
    """
    with anyio.move_on_after(FENCE_S):
        await channel.aclose(CLOSE_FENCED, "the link continues on a newer socket")
    reader.cancel()
