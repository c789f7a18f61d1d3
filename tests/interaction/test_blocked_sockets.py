"""Clients that do not read: their link stays bounded, and a newer socket takes it over at once."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from openenv.app import create_app
from openenv.arrays import Encoding
from openenv.channel import ChannelClosed, MemoryChannel, memory_pair
from openenv.environment import Environment
from openenv.models import State
from openenv.protocol.frames import SUBPROTOCOL_MSGPACK, Open, Reset, Result, Step
from openenv.server.config import ServerConfig
from openenv.server.links.connection import serve_channel
from openenv.server.runners.thread import PARTIALS_AHEAD
from tests.environments import ThreadCounter
from tests.interaction.worlds import World, world
from tests.patience import patient, within
from tests.serving import serving

REPLY_BYTES = 6_000_000
encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


class Large(Environment[dict[str, Any], dict[str, Any], State]):
    """Each step is counted, and is answered with far more than a socket's buffers hold."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"
    count = 0

    def reset(self) -> dict[str, Any]:
        self.count = 0
        return {}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        return {"count": self.count, "ballast": b"x" * action["bytes"]}


class LargeOnThread(Large):
    execution = "thread"


class Talkative(Environment[dict[str, Any], dict[str, Any], State]):
    """Shows as many large partial observations as it is asked for, without a pause."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    ballast = b"x" * 64 * 1024

    def reset(self) -> dict[str, Any]:
        return {}

    def step(self, action: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number in range(action["count"]):
            yield {"number": number, "ballast": self.ballast}


class Ending(Talkative):
    """Says when its generator has ended, however."""

    has_ended = threading.Event()

    def step(self, action: dict[str, Any]) -> Iterator[dict[str, Any]]:
        try:
            yield from super().step(action)
        finally:
            self.has_ended.set()


class TalkativeInProcess(Talkative):
    execution = "process"


class TalkativeAsync(Talkative):
    async def step(self, action: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        for value in super().step(action):
            yield value


class CleaningUp(Talkative):
    """Notes when an episode begins, and when a step that was given up has cleaned up."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.has_begun_again = asyncio.Event()

    async def reset(self) -> dict[str, Any]:
        if self.notes:
            self.has_begun_again.set()
        self.notes.append("reset")
        return {}

    async def step(self, action: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        try:
            for value in super().step(action):
                yield value
        finally:
            await asyncio.sleep(0)
            self.notes.append("cleaned up")


class Origin:
    """A fake of a link: has room for partial observations, or never."""

    encoding: Encoding = "msgpack"
    is_lenient = False

    def __init__(self, *, has_room: bool) -> None:
        self.replies: asyncio.Queue[Any] = asyncio.Queue()
        self._has_room = has_room

    def reply(self, frame: Any) -> None:
        self.replies.put_nowait(frame)

    def until_room(self) -> asyncio.Future[None] | None:
        return None if self._has_room else asyncio.get_running_loop().create_future()


class Raw:
    """A client in frames, which reads only when it is told to."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.received = 0

    async def greet(self, token: str | None = None, received: int = 0) -> Any:
        await self.socket.send(encode(["hello", 1, token, received]))
        hello = decode(await self.socket.recv())
        self.received = received
        return hello

    async def send(self, *frames: Any) -> None:
        await self.socket.send(encode([self.received, frames]))

    async def read(self, count: int) -> list[Any]:
        """Return that many reply frames."""
        replies: list[Any] = []
        while len(replies) < count:
            _, frames = decode(await self.socket.recv())
            self.received += bool(frames)
            replies += frames
        return replies


async def _raw(one: World, stack: AsyncExitStack) -> Raw:
    socket = await stack.enter_async_context(
        connect(
            one.url.replace("http", "ws") + "/ws",
            subprotocols=[Subprotocol(SUBPROTOCOL_MSGPACK)],
            compression=None,
            max_queue=1,
            max_size=None,
            ping_interval=None,
            close_timeout=0.1,
        )
    )
    return Raw(socket)


@pytest.mark.parametrize("environment", [Large, LargeOnThread])
@pytest.mark.parametrize("transport", ["websocket", "asgi"])
async def test_a_link_is_taken_over_from_a_blocked_socket_without_losing_a_reply(
    transport: str, environment: type
) -> None:
    async with (
        world(transport, environment) as one,
        within(20),
        AsyncExitStack() as stack,
    ):
        old = await _raw(one, stack)
        token = (await old.greet())[2]
        await old.send(["open", 1, 1], ["reset", 2, 1])
        await old.read(2)
        for number in range(3, 9):
            await old.send(["step", number, 1, {"bytes": REPLY_BYTES}])
        link = one.registry.links[token]
        while not link.has_unsent:
            await asyncio.sleep(0.001)

        new = await _raw(one, stack)
        hello = await new.greet(token, old.received)
        assert hello[3] is True
        # What was sent on the old socket and had not been read there by the server is sent again,
        # as a client does.
        server_has = hello[4]
        for number in range(3 + server_has - 1, 9):
            await new.send(["step", number, 1, {"bytes": REPLY_BYTES}])
        replies = await new.read(6)
        assert [reply[1] for reply in replies] == list(range(3, 9))
        assert [reply[2]["count"] for reply in replies] == list(range(1, 7))
        await new.send(["step", 9, 1, {"bytes": 1}])
        assert [reply[2]["count"] for reply in await new.read(1)] == [7]


async def test_who_stops_reading_and_answers_no_ping_loses_socket_link_and_sessions() -> None:
    app = create_app(Large, config=ServerConfig(grace_s=0.1))
    async with (
        serving(app, ws_ping_interval=0.2, ws_ping_timeout=0.2) as url,
        within(10),
        AsyncExitStack() as stack,
    ):
        registry = app.state.registry
        client = await _raw(World("websocket", registry, url), stack)
        await client.greet()
        await client.send(["open", 1, 1], ["reset", 2, 1])
        await client.read(2)
        for number in range(3, 9):
            await client.send(["step", number, 1, {"bytes": REPLY_BYTES}])
        while registry.active:
            await asyncio.sleep(0.001)
        assert not registry.links


async def test_a_blocked_socket_whose_link_was_taken_over_does_not_stay_open() -> None:
    async with world("websocket", Large) as one, within(10), AsyncExitStack() as stack:
        old = await _raw(one, stack)
        token = (await old.greet())[2]
        await old.send(["open", 1, 1], ["reset", 2, 1])
        await old.read(2)
        link = one.registry.links[token]
        socket: Any = link.channel._socket  # type: ignore[union-attr]
        socket.close_timeout = 0.1
        for number in range(3, 9):
            await old.send(["step", number, 1, {"bytes": REPLY_BYTES}])
        while not link.has_unsent:
            await asyncio.sleep(0.001)
        new = await _raw(one, stack)
        assert (await new.greet(token, old.received))[3] is True
        while not socket.disconnected:
            await asyncio.sleep(0.001)


class Dead(MemoryChannel):
    """A fake of a socket that is dead without anybody knowing: closing it takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = asyncio.Event()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await self.is_closed.wait()


async def test_who_serves_a_dead_socket_loses_nothing_of_the_newer_one_when_it_ends() -> None:
    async with world("memory", ThreadCounter) as one, within(10):
        old, dead, new, slow = MemoryChannel(), Dead(), MemoryChannel(), MemoryChannel(bound=1)
        old.other, dead.other, new.other, slow.other = dead, old, slow, new

        def serve(channel: MemoryChannel) -> asyncio.Task[None]:
            return asyncio.create_task(serve_channel(one.registry, channel, SUBPROTOCOL_MSGPACK))

        older = serve(dead)
        await old.send(encode(["hello", 1, None, 0]))
        token = decode(await old.receive())[2]
        await old.send(encode([0, [["open", 1, 1], ["reset", 2, 1]]]))
        link = one.registry.links[token]
        received, replies = 0, 0
        while replies < 2:
            received, replies = received + 1, replies + len(decode(await old.receive())[1])

        newer = serve(slow)
        await new.send(encode(["hello", 1, token, received]))
        assert decode(await new.receive())[3] is True
        # The first reply is one more than the client reads, so that the second has to wait.
        await new.send(encode([received, [["step", 3, 1, {"amount": 1}]]]))
        while not len(new._inbox):
            await asyncio.sleep(0)
        await new.send(encode([received, [["step", 4, 1, {"amount": 1}]]]))
        while not link.has_unsent:
            await asyncio.sleep(0)
        dead.is_closed.set()
        await older
        await new.send(encode([received, [["step", 5, 1, {"amount": 1}]]]))
        results: list[Any] = []
        while len(results) < 3:
            results += decode(await new.receive())[1]
        assert [(reply[1], reply[2]["total"]) for reply in results] == [(3, 1), (4, 2), (5, 3)]
        await new.aclose()
        await newer


async def test_who_never_reads_and_never_acknowledges_is_ended_within_its_bound() -> None:
    config = ServerConfig(buffer_bytes=1_000_000)
    async with world("memory", Large, config=config) as one, within(20):
        ours, theirs = memory_pair()
        registry = one.registry
        serving = asyncio.create_task(serve_channel(registry, theirs, SUBPROTOCOL_MSGPACK))
        await ours.send(encode(["hello", 1, None, 0]))
        token = decode(await ours.receive())[2]
        await ours.send(encode([0, [["open", 1, 1], ["reset", 2, 1]]]))
        await ours.receive()
        link = registry.links[token]
        with pytest.raises(ChannelClosed):
            for number in range(3, 10_000):
                await ours.send(encode([0, [["step", number, 1, {"bytes": 50_000}]]]))
                # Reading without acknowledging: a full link has no other end than this.
                while len(ours._inbox):
                    await ours.receive()
                assert link.protocol.link.kept_bytes < 2_000_000
        await serving
        assert token not in registry.links
        assert registry.active == 0


async def test_closing_a_session_twice_is_answered_twice() -> None:
    async with world("websocket", Large) as one, within(10), AsyncExitStack() as stack:
        client = await _raw(one, stack)
        await client.greet()
        await client.send(["open", 1, 1], ["reset", 2, 1], ["close", 3, 1], ["close", 4, 1])
        replies = await client.read(4)
        assert [(reply[0], reply[1]) for reply in replies[2:]] == [("closed", 3), ("closed", 4)]
        assert one.registry.active == 0


TALKATIVE = pytest.mark.parametrize("environment", [Talkative, TalkativeInProcess, TalkativeAsync])


@TALKATIVE
async def test_a_stream_waits_for_who_reads_it(environment: type) -> None:
    async with (
        world("websocket", environment) as one,
        within(20),
        AsyncExitStack() as stack,
    ):
        client = await _raw(one, stack)
        outbox = one.registry.links[(await client.greet())[2]].outbox
        await client.send(["open", 1, 1], ["reset", 2, 1])
        await client.read(2)
        await client.send(["step", 3, 1, {"count": 400}, None, True])
        numbers, waiting = [], 0
        while len(numbers) < 400:
            numbers += [frame[2]["number"] for frame in await client.read(1)]
            waiting = max(waiting, len(outbox.writer.frames))
        assert numbers == list(range(400))
        # Some were on their way from thread or process when the socket was full.
        assert waiting < 60


@TALKATIVE
async def test_who_goes_away_from_a_stream_gets_all_of_it_later(environment: type) -> None:
    config = ServerConfig(buffer_bytes=4_000_000)
    async with (
        world("websocket", environment, config=config) as one,
        within(20),
        AsyncExitStack() as stack,
    ):
        client = await _raw(one, stack)
        token = (await client.greet())[2]
        await client.send(["open", 1, 1], ["reset", 2, 1])
        await client.read(2)
        await client.send(["step", 3, 1, {"count": 200}, None, True])
        await client.read(1)
        client.socket.transport.abort()
        link = one.registry.links[token]
        while link.protocol.link.kept_bytes < 2_000_000:
            await asyncio.sleep(0.001)

        again = await _raw(one, stack)
        await again.greet(token, client.received)
        numbers: list[int] = []
        while len(numbers) < 199:
            numbers += [frame[2]["number"] for frame in await again.read(1)]
            await again.send()
        assert numbers == list(range(1, 200))


async def test_a_stream_whose_step_is_given_up_ends_although_nobody_reads() -> None:
    async with (
        world("websocket", Ending) as one,
        within(20),
        AsyncExitStack() as stack,
    ):
        Ending.has_ended.clear()
        client = await _raw(one, stack)
        await client.greet()
        await client.send(["open", 1, 1], ["reset", 2, 1])
        await client.read(2)
        # Who reads nothing is not read either: a deadline is what still comes.
        await client.send(["step", 3, 1, {"count": 100_000}, 0.2, True])
        await asyncio.to_thread(Ending.has_ended.wait, patient(10))
        assert Ending.has_ended.is_set()


async def test_a_stream_that_is_given_up_has_cleaned_up_before_the_next_call() -> None:
    async with (
        world("websocket", CleaningUp) as one,
        within(20),
        AsyncExitStack() as stack,
    ):
        client = await _raw(one, stack)
        await client.greet()
        await client.send(["open", 1, 1], ["reset", 2, 1])
        await client.read(2)
        [session] = one.registry.sessions.values()
        environment = session._runner.bound.environment
        await client.send(["step", 3, 1, {"count": 100_000}, 0.2, True], ["reset", 4, 1])
        await environment.has_begun_again.wait()
        assert environment.notes == ["reset", "cleaned up", "reset"]


async def test_a_stream_does_not_wait_for_who_had_the_session_before() -> None:
    async with world("memory", Talkative) as one, within(10):
        former, present = Origin(has_room=False), Origin(has_room=True)
        session = one.registry.open()
        session.open(Open(1, 1), former)
        session.submit(Reset(2, 1), former)

        def step(count: int) -> Step:
            return Step(3, 1, msgspec.Raw(encode({"count": count})), stream=True)  # type: ignore[arg-type]

        for origin, count in ((former, PARTIALS_AHEAD + 1), (present, 3)):
            session.submit(step(count), origin)
            while type(reply := await origin.replies.get()) is not Result or reply.id != 3:
                pass
            assert origin.replies.empty()
