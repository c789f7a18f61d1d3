"""Sockets for a link: dialed, greeted, and dialed again while there is hope."""

import asyncio

import pytest

from openenv.channel import ChannelClosed, FrameChannel, memory_pair
from openenv.client.link.connecting import Connector, greet
from openenv.client.link.dialing import Dialed
from openenv.errors import ConnectError, ConnectionLost, RemoteProtocolError
from openenv.protocol.client import ClientProtocol
from openenv.protocol.frames import (
    CLOSE_PROTOCOL_ERROR,
    MAX_MESSAGE_BYTES,
    SUBPROTOCOL_JSON,
    ServerHello,
)
from openenv.protocol.legacy import LegacyClientProtocol
from tests.client.link.scripted import WIRE, ScriptedServer
from tests.patience import within


def connector(dial: object, exit_reason: object = None) -> Connector:
    return Connector(dial, 10.0, MAX_MESSAGE_BYTES, exit_reason)  # type: ignore[arg-type]


async def detached(server: ScriptedServer, grace_s: float = 60.0) -> ClientProtocol:
    """The protocol of a link that has lost its socket."""
    connecting = asyncio.ensure_future(connector(server.dial).connect())
    await server.greet(grace_s=grace_s)
    _, protocol = await connecting
    assert isinstance(protocol, ClientProtocol)
    protocol.detach()
    return protocol


async def close_code(socket: FrameChannel) -> int:
    with pytest.raises(ChannelClosed) as closed:
        while True:
            await socket.receive()
    return closed.value.code


async def test_a_server_without_a_subprotocol_is_a_legacy_one_and_is_not_greeted() -> None:
    ours, _ = memory_pair()

    async def dial() -> Dialed:
        return Dialed(ours, None)

    channel, protocol = await connector(dial).connect()
    assert channel is ours
    assert isinstance(protocol, LegacyClientProtocol)


async def test_a_server_that_knows_the_link_goes_on_with_the_same_protocol() -> None:
    server = ScriptedServer()
    async with within(10):
        protocol = await detached(server)
        reconnecting = asyncio.ensure_future(connector(server.dial).reconnect(protocol))
        await server.greet()
        assert (await reconnecting)[1] is protocol


async def test_a_server_that_forgot_the_link_begins_a_new_protocol() -> None:
    server = ScriptedServer()
    async with within(10):
        protocol = await detached(server)
        reconnecting = asyncio.ensure_future(connector(server.dial).reconnect(protocol))
        await server.greet("two", resumed=False)
        _, fresh = await reconnecting
        assert (protocol.token, fresh.token) == ("one", "two")


async def test_a_server_that_is_away_is_dialed_again() -> None:
    server = ScriptedServer()
    refusals = [ConnectError("away"), ConnectError("still away")]

    async def dial() -> Dialed:
        if refusals:
            raise refusals.pop()
        return await server.dial()

    async with within(10):
        protocol = await detached(server)
        reconnecting = asyncio.ensure_future(connector(dial).reconnect(protocol))
        await server.greet()
        assert (await reconnecting)[1] is protocol
    assert not refusals


async def test_attempts_end_with_the_grace() -> None:
    async def dial() -> Dialed:
        raise ConnectError("away")

    async with within(10):
        protocol = await detached(ScriptedServer(), grace_s=0.05)
        with pytest.raises(ConnectionLost):
            await connector(dial).reconnect(protocol)


async def test_there_is_no_attempt_after_the_server_has_ended() -> None:
    dialed = []

    async def dial() -> Dialed:
        dialed.append(True)
        raise ConnectError("away")

    async def exit_reason() -> str | None:
        return "out of memory"

    async with within(10):
        protocol = await detached(ScriptedServer())
        with pytest.raises(ConnectionLost, match="out of memory"):
            await connector(dial, exit_reason).reconnect(protocol)
    assert not dialed


async def test_a_server_that_speaks_another_dialect_than_before_is_given_up() -> None:
    ours, theirs = memory_pair()

    async def dial() -> Dialed:
        return Dialed(ours, SUBPROTOCOL_JSON)

    async with within(10):
        protocol = await detached(ScriptedServer())
        with pytest.raises(ConnectionLost):
            await connector(dial).reconnect(protocol)
        await close_code(theirs)


async def test_a_server_that_says_nothing_is_a_connect_error_and_its_socket_closed() -> None:
    ours, theirs = memory_pair()
    async with within(10):
        with pytest.raises(ConnectError):
            await greet(ours, ClientProtocol(WIRE), 0.01)
        await close_code(theirs)


async def test_a_wrong_hello_closes_the_socket_as_a_protocol_error() -> None:
    ours, theirs = memory_pair()
    async with within(10):
        greeting = asyncio.ensure_future(greet(ours, ClientProtocol(WIRE), 10))
        await theirs.receive()
        await theirs.send(WIRE.encode(ServerHello(version=99, token="one")))
        with pytest.raises(RemoteProtocolError):
            await greeting
        assert await close_code(theirs) == CLOSE_PROTOCOL_ERROR


async def test_cancelling_a_greeting_closes_the_socket() -> None:
    ours, theirs = memory_pair()
    async with within(10):
        greeting = asyncio.ensure_future(greet(ours, ClientProtocol(WIRE), 10))
        await theirs.receive()
        greeting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await greeting
        await close_code(theirs)
