"""Which WebSocket class uvicorn is given: ours, if it works with the uvicorn that is installed.

SessionSocket builds on insides of uvicorn and websockets that any release may change. Before a
server starts, a connection in memory is played from handshake to end. If anything differs, uvicorn
uses its own class, and connection.py speaks plain ASGI: slower, with the same behaviour.
"""

from __future__ import annotations

import asyncio
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import uvicorn
from uvicorn.server import ServerState

from openenv.channel import ChannelClosed
from openenv.framing import client_frames, server_frames
from openenv.protocol.frames import CLOSE_NORMAL
from openenv.server.links.connection import CLAIM_EXTENSION

try:
    from openenv.server.links.uvicorn_socket import SessionSocket
except ImportError:  # pragma: no cover - a uvicorn without the class that ours is made of
    SessionSocket = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

logger = logging.getLogger("openenv.server")

_HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_NO_MASK = bytes(4)
_PING = b"\x89\x80" + _NO_MASK
_FRAGMENTS = b"\x02\x81" + _NO_MASK + b"a" + b"\x80\x81" + _NO_MASK + b"b"
_PONG, _CLOSE = b"\x8a\x00", b"\x88\x02" + CLOSE_NORMAL.to_bytes(2)


def websocket_class() -> type[SessionSocket] | Literal["auto"]:
    """Return SessionSocket, or with one warning "auto", uvicorn's name for its own class."""
    uvicorn_log = logging.getLogger("uvicorn.error")
    was_disabled, uvicorn_log.disabled = uvicorn_log.disabled, True
    try:
        _Rehearsal(SessionSocket).play()
    # Whatever the insides of another release raise: none of it may keep the server from starting.
    except Exception as error:  # noqa: BLE001
        logger.warning(
            "WebSockets are slower than they could be: openenv does not know the insides of "
            "uvicorn %s with websockets %s (%r)",
            version("uvicorn"),
            version("websockets"),
            error,
        )
        return "auto"
    finally:
        uvicorn_log.disabled = was_disabled
    return SessionSocket


class _Difference(Exception):
    """The installed releases do not do what SessionSocket relies on."""


def _expect(condition: object, what: str) -> None:
    if not condition:
        raise _Difference(what)


class _Rehearsal:
    """One connection over a transport in memory, whose application checks what it sees."""

    def __init__(self, socket_class: type[SessionSocket]) -> None:
        self._transport = _MemoryTransport()
        self._loop = _RecordingLoop()
        config = uvicorn.Config(
            self._serve,
            interface="asgi3",
            lifespan="off",
            ws=socket_class,
            ws_per_message_deflate=False,
            log_config=None,
            proxy_headers=False,
        )
        config.load()
        loop: Any = self._loop
        self._socket = socket_class(config, ServerState(), {}, _loop=loop)
        self._outcome: Exception | str = "the application is not called"

    def play(self) -> None:
        """Play the connection. Raises if anything is not as SessionSocket needs it."""
        socket = self._socket
        socket.connection_made(self._transport)
        socket.data_received(_HANDSHAKE)
        for application in self._loop.tasks:
            _run(application)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        _expect(self._outcome == "played", self._outcome)
        _expect(self._transport.abort in self._loop.timers, "a socket may close for ever")
        socket.keepalive_timeout()
        _expect(self._transport.is_aborted, "a client that answers no ping keeps its socket")

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await receive()
            await send({"type": "websocket.accept", "subprotocol": None})
            await self._converse(scope["extensions"][CLAIM_EXTENSION]())
            self._outcome = "played"
        # `play` raises it: uvicorn would log it, and go on.
        except Exception as error:  # noqa: BLE001
            self._outcome = error

    async def _converse(self, channel: Any) -> None:
        socket, transport = self._socket, self._transport
        _expect(transport.written.startswith(b"HTTP/1.1 101 "), "the handshake is not accepted")
        for data in (b"bytes", "text"):
            socket.data_received(b"".join(client_frames(data)))
            _expect(await channel.receive() == data, "a whole message does not arrive")
            channel.write(data)
            written = b"".join(server_frames(data))
            _expect(transport.written.endswith(written), "a message is not written")
        socket.data_received(_FRAGMENTS)
        _expect(await channel.receive() == b"ab", "a message in fragments does not arrive")
        socket.data_received(_PING)
        _expect(transport.written.endswith(_PONG), "a ping is not answered")
        socket.pause_writing()
        _expect(not channel.is_writable, "a full socket is written to")
        socket.resume_writing()
        _expect(channel.is_writable, "a drained socket is not written to")
        await channel.aclose(CLOSE_NORMAL)
        _expect(transport.written.endswith(_CLOSE), "the socket is not closed")
        try:
            channel.write(b"late")
        except ChannelClosed as closed:
            _expect(closed.code == CLOSE_NORMAL, "the close code is lost")
        else:
            raise _Difference("a closed socket is written to")


def _run(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise _Difference("the connection waits for something that does not come")


class _MemoryTransport(asyncio.Transport):
    """Keeps what is written, and never gets rid of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_closing(self) -> bool:
        return self.is_aborted

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def close(self) -> None:
        """Wait until all is written: for ever."""

    def abort(self) -> None:
        self.is_aborted = True


class _RecordingLoop:
    """Stands in for an event loop: keeps what it is asked to run, and runs nothing."""

    def __init__(self) -> None:
        self.tasks: list[Coroutine[Any, Any, Any]] = []
        self.timers: list[Callable[..., object]] = []

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> _Handle:
        self.tasks.append(coroutine)
        return _Handle()

    def call_later(self, delay_s: float, callback: Callable[..., object]) -> _Handle:
        self.timers.append(callback)
        return _Handle()

    def time(self) -> float:
        return 0.0


class _Handle:
    """Of a task or timer that never runs."""

    def add_done_callback(self, callback: Callable[..., object]) -> None:
        """It is never done."""

    def cancel(self) -> None:
        """It never runs."""
