"""What a client makes of the news that the server has ended a session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from openenv.channel import ChannelClosed, MemoryChannel, memory_pair
from openenv.client.link.dialing import Dialed
from openenv.client.pool import Pool
from openenv.errors import SessionExpired
from openenv.protocol.frames import Closed, Open, Opened, Reset, Result
from openenv.protocol.server import ServerProtocol, read_hello
from openenv.protocol.wire import MSGPACK
from tests.patience import within


async def fake_server(channel: MemoryChannel) -> None:
    """Opens and resets sessions; whatever else is asked only gets the news that they have ended."""
    protocol = ServerProtocol(MSGPACK, "token")
    for message in protocol.attach(read_hello(MSGPACK, await channel.receive())):
        await channel.send(message)
    while True:
        try:
            frames = protocol.receive(await channel.receive())
        except ChannelClosed:
            return
        replies = [
            Opened(frame.id, "token")
            if type(frame) is Open
            else Result(frame.id, {})
            if type(frame) is Reset
            else Closed(0, frame.session, "gone fishing")
            for frame in frames
        ]
        for message in protocol.send(replies):
            await channel.send(message)


@asynccontextmanager
async def pool_on_fake_server() -> AsyncIterator[Pool]:
    ours, theirs = memory_pair()

    async def dial() -> Dialed:
        return Dialed(ours, MSGPACK.subprotocol)

    async with within(5), asyncio.TaskGroup() as group:
        group.create_task(fake_server(theirs))
        async with Pool("memory:", 1, dial=dial) as pool:
            yield pool


async def test_a_request_that_crosses_the_news_is_answered_with_the_reason() -> None:
    async with pool_on_fake_server() as pool:
        env = await pool.session()
        await env.reset()
        with pytest.raises(SessionExpired, match="gone fishing"):
            await env.step({})
        with pytest.raises(SessionExpired, match="gone fishing"):
            await env.step({})


async def test_closing_what_has_ended_is_no_error() -> None:
    async with pool_on_fake_server() as pool:
        env = await pool.session()
        await env.close()


async def test_the_other_sessions_go_on() -> None:
    async with pool_on_fake_server() as pool:
        one, other = await pool.session(), await pool.session()
        await one.reset()
        with pytest.raises(SessionExpired):
            await one.step({})
        assert (await other.reset()).observation == {}
