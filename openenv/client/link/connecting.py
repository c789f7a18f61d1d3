"""Connector: sockets for a link, the first one and its successors, each greeted.

Owns dialing, the handshake and the waiting between attempts. Knows nothing of requests: link.py
asks for sockets. The hellos are protocol/client.py's affair, when to try reconnecting.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from openenv.channel import ChannelClosed
from openenv.client.link.dialing import Dialed
from openenv.client.link.reconnecting import ReconnectPolicy, lost_link
from openenv.errors import ConnectError, RemoteProtocolError
from openenv.protocol.client import ClientProtocol
from openenv.protocol.frames import CLOSE_PROTOCOL_ERROR
from openenv.protocol.legacy import LegacyClientProtocol
from openenv.protocol.wire import WIRES

if TYPE_CHECKING:
    from openenv.channel import FrameChannel

Dial = Callable[[], Awaitable[Dialed]]

ExitReason = Callable[[], Awaitable[str | None]]
"Returns why the server's process has ended; None while it runs, or if nobody knows."

_closing: set[asyncio.Future[None]] = set()
"Keeps the tasks of `close_later`, to which the event loop has weak references only."


class Connector:
    """Gives one link its sockets, by `dial`. There are no attempts after `exit_reason` has one."""

    def __init__(
        self,
        dial: Dial,
        connect_timeout_s: float,
        max_message_bytes: int,
        exit_reason: ExitReason | None,
    ) -> None:
        self._dial = dial
        self._connect_timeout_s = connect_timeout_s
        self._max_message_bytes = max_message_bytes
        self._exit_reason = exit_reason
        self._policy = ReconnectPolicy()

    async def connect(self) -> tuple[FrameChannel, ClientProtocol | LegacyClientProtocol]:
        """Return a socket for a new link. Raises ConnectError, RemoteProtocolError."""
        channel, subprotocol = await self._dial()
        if subprotocol is None:
            return channel, LegacyClientProtocol()
        protocol = ClientProtocol(WIRES[subprotocol], max_message_bytes=self._max_message_bytes)
        return channel, await greet(channel, protocol, self._connect_timeout_s)

    async def reconnect(self, protocol: ClientProtocol) -> tuple[FrameChannel, ClientProtocol]:
        """Return a socket for a detached link, within the server's grace.

        The protocol is the given one, or a new one if the server has forgotten the link. Raises
        ConnectionLost when the grace is over, RemoteProtocolError.
        """
        link, grace_s, time = (
            protocol.link,
            protocol.server.grace_s,
            asyncio.get_running_loop().time,
        )
        policy = self._policy
        policy.socket_lost((link.acknowledged, link.received), grace_s, time())
        while (delay_s := policy.next_delay_s(time())) is not None:
            if self._exit_reason is not None and (reason := await self._exit_reason()):
                raise lost_link(reason, link)
            await asyncio.sleep(delay_s)
            try:
                channel, subprotocol = await self._dial()
                if subprotocol == protocol.wire.subprotocol:
                    return channel, await greet(channel, protocol, self._connect_timeout_s)
            except ConnectError:
                continue
            await channel.aclose()
            raise lost_link("the server speaks another dialect than before", link)
        raise lost_link(f"no server was of use within {grace_s:.0f} s", link)


async def greet(
    channel: FrameChannel, protocol: ClientProtocol, timeout_s: float
) -> ClientProtocol:
    """Exchange hellos and send the messages that the server lacks.

    Return the protocol of the link that the socket carries: the given one, or a new one if the
    server does not know its link any more. Raises ConnectError, RemoteProtocolError; then, and when
    cancelled, the channel is closed.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await channel.send(protocol.hello())
            hello = await channel.receive()
            missing = protocol.attach(hello)
            if missing is None:
                fresh = ClientProtocol(protocol.wire, max_message_bytes=protocol.max_message_bytes)
                fresh.attach(hello)
                return fresh
            for message in missing:
                await channel.send(message)
    except (TimeoutError, ChannelClosed) as error:
        await channel.aclose()
        raise ConnectError(f"the server did not say hello: {error}") from error
    except RemoteProtocolError as error:
        await channel.aclose(CLOSE_PROTOCOL_ERROR, str(error))
        raise
    except asyncio.CancelledError:
        close_later(channel)
        raise
    return protocol


def close_later(channel: FrameChannel) -> None:
    """Close a channel without waiting for its closing handshake: the caller was cancelled."""
    closing = asyncio.ensure_future(channel.aclose())
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)
