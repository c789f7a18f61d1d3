"""A link and its sockets: what is owed is sent first and in order; a lost socket ends nothing."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from openenv.channel import ChannelClosed
from openenv.environment import Environment
from openenv.models import State
from openenv.protocol.frames import CLOSE_FENCED, SUBPROTOCOL_JSON
from openenv.server.config import ServerConfig
from openenv.server.host import make_registry
from openenv.server.links.connection import serve_channel
from tests.environments import Add, Total
from tests.patience import within


class Held(Environment[Add, Total, State]):
    """Steps when the test lets it."""

    begun: asyncio.Event
    may_end: asyncio.Event

    async def reset(self) -> Total:
        return Total(0)

    async def step(self, action: Add) -> Total:
        self.begun.set()
        await self.may_end.wait()
        return Total(action.amount)


class SlowSocket:
    """A fake: a socket that takes messages one by one, when the test lets it."""

    def __init__(self, free: int = 0) -> None:
        self.free = asyncio.Semaphore(free)
        self.is_asked = asyncio.Event()
        self.is_lost = False
        self.close_code: int | None = None
        self._received: asyncio.Queue[str | None] = asyncio.Queue()
        self._sent: asyncio.Queue[Any] = asyncio.Queue()

    async def send(self, data: Any) -> None:
        self.is_asked.set()
        await self.free.acquire()
        if self.is_lost:
            raise ChannelClosed()
        self._sent.put_nowait(json.loads(data))

    async def receive(self) -> Any:
        data = await self._received.get()
        if data is None:
            raise ChannelClosed()
        return data

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        self.close_code = code

    def put(self, message: Any) -> None:
        self._received.put_nowait(json.dumps(message))

    def lose(self) -> None:
        self.is_lost = True
        self.free.release()
        self._received.put_nowait(None)

    async def take(self) -> Any:
        """Let one message through, and return it."""
        self.free.release()
        return await self._sent.get()


@asynccontextmanager
async def serving_sockets(**settings: Any) -> Any:
    """Yield a registry and a function that serves a socket."""
    Held.begun, Held.may_end = asyncio.Event(), asyncio.Event()
    registry = make_registry(Held, config=ServerConfig(**settings))
    sockets: list[SlowSocket] = []
    async with AsyncExitStack() as stack, within(10):
        group = await stack.enter_async_context(asyncio.TaskGroup())
        await registry.start()

        def serve(socket: SlowSocket) -> SlowSocket:
            sockets.append(socket)
            group.create_task(serve_channel(registry, socket, SUBPROTOCOL_JSON))
            return socket

        yield registry, serve
        for socket in sockets:
            socket.lose()
        await registry.aclose()


async def episode_on(socket: SlowSocket) -> str:
    """Say hello, begin an episode and a step of it; return the link's token."""
    socket.put(["hello", 1])
    hello = await socket.take()
    socket.put([0, [["open", 1, 1], ["reset", 2, 1]]])
    frames: list[Any] = []
    while len(frames) < 2:
        frames += (await socket.take())[1]
    socket.put([0, [["step", 3, 1, {"amount": 5}]]])
    await Held.begun.wait()
    return str(hello[2])


async def test_what_becomes_ready_during_a_greeting_comes_after_it() -> None:
    async with serving_sockets() as (registry, serve):
        old = serve(SlowSocket())
        token = await episode_on(old)
        new = serve(SlowSocket())
        new.put(["hello", 1, token, 0])
        await new.is_asked.wait()
        while old.close_code is None:
            await asyncio.sleep(0)
        assert old.close_code == CLOSE_FENCED
        [session] = registry.sessions.values()
        Held.may_end.set()
        while session.is_busy:
            await asyncio.sleep(0)

        assert (await new.take())[:4] == ["hello", 1, token, True]
        frames: list[Any] = []
        while len(frames) < 3:
            frames += (await new.take())[1]
        assert [frame[:2] for frame in frames] == [["opened", 1], ["result", 2], ["result", 3]]


@pytest.mark.parametrize("is_new_link", [True, False])
async def test_a_socket_that_is_lost_during_its_greeting_lets_the_link_expire(
    is_new_link: bool,
) -> None:
    async with serving_sockets(grace_s=0.05) as (registry, serve):
        token = None if is_new_link else await episode_on(serve(SlowSocket()))
        new = serve(SlowSocket())
        new.put(["hello", 1, token, 0])
        await new.is_asked.wait()
        assert len(registry.links) == 1
        new.lose()
        while registry.links or registry.sessions:
            await asyncio.sleep(0.01)
        assert registry.active == 0


async def test_what_was_received_is_acknowledged_although_nothing_answers_it() -> None:
    async with serving_sockets() as (_, serve):
        socket = serve(SlowSocket())
        socket.put(["hello", 1])
        await socket.take()
        socket.put([0, [["cancel", 7, 1]]])
        assert await socket.take() == [1, []]
