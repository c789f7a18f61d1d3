"""A link outlives its sockets; when it ends the caller is told, and no socket or task is left."""

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from openenv.app import create_app
from openenv.client.generic import GenericEnvClient
from openenv.client.link.dialing import Dialed
from openenv.client.link.link import ClientLink
from openenv.client.pool import Pool, connect
from openenv.errors import ConnectError, ConnectionLost, RequestTimeout, SessionCapacityError
from openenv.protocol.frames import (
    CLOSE_FENCED,
    SUBPROTOCOL_MSGPACK,
    Cancel,
    GetState,
    ServerHello,
    StateReply,
    Step,
)
from tests.client.link.scripted import ScriptedServer, frames, linked, send
from tests.environments import Counter
from tests.interaction.worlds import world
from tests.patience import patient, within
from tests.serving import serving


class Silent:
    """A server that greets when it is told to, and then stops reading."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.may_greet = asyncio.Event()
        self.left = asyncio.Event()
        self.port = 0
        self.sockets: list[ServerConnection] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, client: ServerConnection) -> None:
        self.sockets.append(client)
        await client.recv()
        self.arrived.set()
        greeting = asyncio.ensure_future(self.may_greet.wait())
        leaving = asyncio.ensure_future(client.wait_closed())
        await asyncio.wait((greeting, leaving), return_when=asyncio.FIRST_COMPLETED)
        greeting.cancel()
        if not leaving.done():
            hello = ServerHello(token="token", max_message_bytes=1 << 30, grace_s=0.1)
            await client.send(msgspec.msgpack.encode(hello))
        await leaving
        self.left.set()


@asynccontextmanager
async def silent() -> AsyncIterator[Silent]:
    server = Silent()
    async with serve(
        server.handle,
        "127.0.0.1",
        0,
        subprotocols=[SUBPROTOCOL_MSGPACK],  # type: ignore[list-item]
        compression=None,
        max_queue=1,
        max_size=None,
    ) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


class Session:
    """A session that notes why it was closed."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def session_closed(self, reason: str) -> None:
        self.reasons.append(reason)


# ---- a socket is lost


async def test_a_resumed_link_sends_again_what_the_server_lacks_and_keeps_its_sessions() -> None:
    server, session = ScriptedServer(), Session()
    async with linked(server) as (link, socket):
        asked = GetState(link.next_id(), link.next_session(session))
        reply = asyncio.ensure_future(link.request(asked, 60))
        assert await frames(socket) == [asked]
        await socket.aclose()
        socket = await server.greet(received=0)
        assert await frames(socket) == [asked]
        await send(socket, StateReply(asked.id, b"\xc0"), received=1)
        assert (await reply).id == asked.id
        assert (session.reasons, link.session_count) == ([], 1)


async def test_frames_of_a_lost_link_never_go_out_on_the_next() -> None:
    server, session = ScriptedServer(), Session()
    async with linked(server) as (link, socket):
        number = link.next_session(session)
        sent = link.request(GetState(link.next_id(), number), 60)
        await frames(socket)
        await socket.aclose()
        socket = await server.sockets.get()
        # No socket is greeted now, so that this one waits.
        waiting = link.request(GetState(link.next_id(), number), 60)
        server.sockets.put_nowait(socket)
        socket = await server.greet("two", resumed=False)
        lost: Any = await asyncio.gather(sent, waiting)
        assert [reply.code for reply in lost] == [ConnectionLost.code] * 2
        assert len(session.reasons) == 1
        asked = GetState(link.next_id(), link.next_session(session))
        link.request(asked, 60)
        assert await frames(socket) == [asked]


async def test_a_fatal_close_code_ends_the_link_without_another_dial() -> None:
    server, session = ScriptedServer(), Session()
    async with linked(server) as (link, socket):
        asked = GetState(link.next_id(), link.next_session(session))
        reply: Any = link.request(asked, 60)
        await frames(socket)
        await socket.aclose(CLOSE_FENCED)
        assert (await reply).code == ConnectionLost.code
        assert len(session.reasons) == 1
        assert not link.is_open
        assert server.sockets.empty()
        with pytest.raises(ConnectionLost):
            await link.request(asked, 60)


async def test_a_server_that_has_ended_is_not_waited_for() -> None:
    async def exit_reason() -> str | None:
        return "it has been killed"

    server = ScriptedServer()
    async with linked(server, exit_reason=exit_reason) as (link, socket):
        reply: Any = link.request(GetState(link.next_id(), link.next_session(Session())), 60)
        await frames(socket)
        await socket.aclose()
        assert "it has been killed" in (await reply).message
        assert server.sockets.empty()


# ---- requests


async def test_a_timeout_of_the_client_cancels_the_request_on_the_server() -> None:
    async with linked(ScriptedServer()) as (link, socket):
        asked = GetState(link.next_id(), link.next_session(Session()))
        reply: Any = await link.request(asked, 0.01)
        assert reply.code == RequestTimeout.code
        assert await frames(socket) == [asked]
        assert await frames(socket) == [Cancel(asked.id, asked.session)]


async def test_a_closed_link_refuses_requests_and_opens_again() -> None:
    server = ScriptedServer()
    async with linked(server) as (link, _):
        await link.aclose()
        assert not link.is_open
        with pytest.raises(ConnectionLost):
            link.request(GetState(1, 1), 60)
        with pytest.raises(ConnectionLost):
            link.next_session(Session())
        opening = asyncio.ensure_future(link.open())
        await server.greet()
        await opening
        assert link.is_open


async def test_a_link_that_was_never_open_refuses_requests() -> None:
    link = ClientLink(ScriptedServer().dial)
    with pytest.raises(ConnectionLost):
        link.request(GetState(1, 1), 60)


async def test_closing_fails_pending_requests() -> None:
    async with linked(ScriptedServer()) as (link, _):
        reply: Any = link.request(GetState(link.next_id(), link.next_session(Session())), 60)
        await link.aclose()
        assert (await reply).code == ConnectionLost.code


# ---- it ends at a bad moment


async def test_cancelling_a_connect_leaves_no_socket_behind() -> None:
    async with silent() as server, within(10):
        connection = ClientLink.to(server.url)
        opening = asyncio.create_task(connection.open())
        await server.arrived.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await server.left.wait()
        assert not connection.is_open


async def test_closing_while_opening_ends_both() -> None:
    async with silent() as server, within(10):
        connection = ClientLink.to(server.url)
        opening = asyncio.create_task(connection.open())
        await server.arrived.wait()
        await connection.aclose()
        server.may_greet.set()
        with pytest.raises(ConnectionLost):
            await opening
        await server.left.wait()
        assert not connection.is_open


async def test_a_close_that_is_cancelled_closes_all_the_same() -> None:
    async with silent() as server, within(10):
        server.may_greet.set()
        env = GenericEnvClient(server.url)
        await env.connect()
        connection = env._session.link
        pending = asyncio.create_task(env.reset())
        await asyncio.sleep(0)
        # So nobody answers the closing handshake.
        server.sockets[0].transport.pause_reading()
        closing = asyncio.create_task(connection.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(ConnectionLost):
            await pending
        assert not connection.is_open
        assert not [task for task in asyncio.all_tasks() if "openenv" in task.get_name()]
        server.sockets[0].transport.resume_reading()
        await server.left.wait()


async def test_a_pool_that_cannot_be_opened_whole_leaves_nothing_open() -> None:
    async with world("memory", Counter) as one, within(10):
        dialed: list[Dialed] = []

        async def dial() -> Dialed:
            if dialed:
                raise ConnectError("one was enough")
            dialed.append(await one._dial_memory())
            return dialed[0]

        with pytest.raises(ConnectError):
            async with Pool("memory", 2, dial=dial):
                pytest.fail("the second connection cannot be opened")
        while one.registry.links:
            await asyncio.sleep(0)


async def test_a_server_that_never_greets_is_a_connect_error() -> None:
    async with silent() as server, within(10):
        connection = ClientLink.to(server.url, connect_timeout_s=0.1)
        with pytest.raises(ConnectError):
            await connection.open()
        await server.left.wait()


async def test_a_socket_that_is_reset_while_the_writer_waits_for_it_is_told_to_the_caller() -> None:
    async with silent() as server, within(10):
        server.may_greet.set()
        env = GenericEnvClient(server.url)
        await env.connect()
        connection = env._session.link
        channel: Any = connection._channel
        opening = asyncio.create_task(env.reset())
        # Nobody answers the request that opens its session; this one fills the socket.
        connection.push(Step(99, 99, {"ballast": "x" * 30_000_000}))
        while channel.is_writable:
            await asyncio.sleep(0)
        far: Any = server.sockets[0].transport
        linger = struct.pack("ii", 1, 0)
        far.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        far.abort()
        with pytest.raises(ConnectionLost):
            await opening
        # The connection goes on with a new link, and its writer with the new socket.
        assert connection.is_open
        assert connection._channel is not channel
        await env.close()


class WithoutSubprotocols:
    """Hides what clients offer, so that a server of ours speaks the published dialect."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app({**scope, "subprotocols": []}, receive, send)


async def test_a_pool_plays_with_a_legacy_server_that_has_a_single_slot() -> None:
    app = create_app(Counter, max_concurrent_envs=1)
    app.add_middleware(WithoutSubprotocols)
    async with serving(app) as url, within(10), connect(url) as pool:
        first = await pool.session()
        assert (await first.reset(seed=5)).observation["total"] == 5
        with pytest.raises(SessionCapacityError):
            await (await pool.session()).reset()
        assert (await first.step({"amount": 1})).observation["total"] == 6
        await first.close()
        await asyncio.wait_for(_until(lambda: app.state.registry.active == 0), patient(5))
        second = await pool.session()
        assert (await second.reset(seed=7)).observation["total"] == 7


async def test_many_sessions_of_a_legacy_server_are_stepped_as_one() -> None:
    app = create_app(Counter, max_concurrent_envs=10)
    app.add_middleware(WithoutSubprotocols)
    async with serving(app) as url, within(10), connect(url) as pool:
        envs = await pool.sessions(3)
        await pool.reset_many(envs, seeds=[10, 20, 30])
        results = await pool.step_many(envs, [{"amount": amount} for amount in (1, 2, 3)])
        assert [result.observation["total"] for result in results] == [11, 22, 33]


async def test_a_pool_of_a_legacy_server_forgets_the_closed_and_closes_the_open_ones() -> None:
    app = create_app(Counter, max_concurrent_envs=10)
    app.add_middleware(WithoutSubprotocols)
    async with serving(app) as url, within(10), connect(url) as pool:
        for _ in range(3):
            async with await pool.session() as env:
                await env.reset()
        open_ones = [await pool.session() for _ in range(2)]
        for one in open_ones:
            await one.reset()
        del env, one, open_ones
        gc.collect()
        assert len(pool._private_links) == 2
        assert all(connection.is_open for connection in pool._private_links)
        await pool.__aexit__()
        await asyncio.wait_for(_until(lambda: app.state.registry.active == 0), patient(5))


async def _until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.001)
