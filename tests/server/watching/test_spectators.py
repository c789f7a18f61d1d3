"""Spectators: how often, how much and how long they are shown something."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from openenv.app import create_app
from openenv.protocol import frames as f
from openenv.protocol.server import ServerProtocol
from openenv.protocol.wire import JSON, MSGPACK, Wire
from openenv.server.config import ServerConfig
from openenv.server.links.link import SessionLink
from openenv.server.watching import spectators as module
from openenv.server.watching.views import SessionView
from tests.environments import Counter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openenv.server.sessions.registry import SessionRegistry

WATCHED = ServerConfig(watch=True)


class FakeChannel:
    """A socket that takes everything at once, and whose client acknowledges if it is to."""

    def __init__(self, protocol: ServerProtocol) -> None:
        self.protocol = protocol
        self.acknowledges = True
        self.messages: list[Any] = []
        self.is_writable = True

    def write(self, message: Any) -> None:
        self.messages.append(message)
        if self.acknowledges:
            self.acknowledge()

    def listen(self, listener: Any) -> None:
        """Nobody ever sends."""

    def acknowledge(self) -> None:
        self.protocol.link.take_acknowledgement(self.protocol.link.sent)


class FakeLoop:
    """A clock that stands still, and the one timer that was set."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.pause_s = module.TICK_S

    def time(self) -> float:
        return self.now_s

    def call_later(self, pause_s: float, *_: Any) -> FakeLoop:
        self.pause_s = pause_s
        return self

    def cancel(self) -> None:
        """Nobody waits for it."""


class FakeClock:
    """CPU time, of which each look takes some."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.look_s = 0.0

    def thread_time(self) -> float:
        self.now_s += self.look_s
        return self.now_s


class Theatre:
    """A registry with sessions, and links that watch them."""

    def __init__(self, registry: SessionRegistry) -> None:
        self.registry = registry
        assert registry.spectators is not None
        self.spectators: Any = registry.spectators
        self.loop = FakeLoop(asyncio.get_running_loop().time())
        self.player, _ = self.link(MSGPACK)
        self.sessions = 0

    def link(self, wire: Wire) -> tuple[SessionLink, FakeChannel]:
        protocol = ServerProtocol(wire, self.registry.new_token(), allows_watch=True)
        link = SessionLink(self.registry, protocol)
        self.registry.add_link(link)
        protocol.attach(f.ClientHello())
        channel = FakeChannel(protocol)
        link.attach(channel)  # type: ignore[arg-type]
        link.outbox.writer.greeted()
        return link, channel

    def play(self, frames: list[Any]) -> None:
        self.player.handle(MSGPACK.encode((self.player.protocol.link.sent, frames)))
        self.player.outbox.write_now()

    def open(self, count: int) -> None:
        numbers = range(self.sessions + 1, self.sessions + count + 1)
        self.sessions += count
        self.play([frame for one in numbers for frame in (f.Open(one, one), f.Reset(10**6, one))])

    def step(self, *numbers: int) -> None:
        self.play([f.Step(1, number, {"amount": 1}) for number in numbers])

    def watch(self, wire: Wire = MSGPACK, **options: Any) -> FakeChannel:
        link, channel = self.link(wire)
        link.handle(wire.encode((0, [f.Watch(1, **options)])))
        link.outbox.write_now()
        # From now on it is `tick` that lets time pass.
        self.spectators._timer.cancel()
        channel.messages.clear()
        return channel

    def tick(self) -> None:
        """Let the pause pass that was asked for."""
        self.loop.now_s += self.loop.pause_s
        self.spectators._tick(self.loop)


def sessions_of(messages: list[Any]) -> list[str]:
    """The names of the sessions in these messages, in their order."""
    decode = msgspec.msgpack.decode
    return [
        summary["session"] for one in messages for frame in decode(one)[1] for summary in frame[2]
    ]


class Busy:
    """For how long the thread was not idle."""

    s = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "_busy_s", lambda: 0.0)
    return clock


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Busy:
    busy = Busy()
    monkeypatch.setattr(module, "_busy_s", lambda: busy.s)
    return busy


@asynccontextmanager
async def theatre(sessions: int = 1) -> AsyncIterator[Theatre]:
    registry: SessionRegistry = create_app(Counter, config=WATCHED).state.registry
    await registry.start()
    one = Theatre(registry)
    one.open(sessions)
    try:
        yield one
    finally:
        for link in list(registry.links.values()):
            link.end()
        await registry.aclose()


async def test_a_spectator_gets_at_most_30_frames_a_second(clock: FakeClock) -> None:
    async with theatre() as one:
        channel = one.watch()
        for _ in range(300):
            one.step(1)
            one.tick()
        assert one.loop.pause_s == 1 / 30
        assert len(channel.messages) == 300


@pytest.mark.parametrize(
    ("frames_per_s", "shown"), [(1000.0, 90), (30.0, 90), (10.0, 30), (7.0, 21), (0.5, 2)]
)
async def test_who_asks_for_fewer_frames_gets_fewer(
    clock: FakeClock, frames_per_s: float, shown: int
) -> None:
    async with theatre() as one:
        channel = one.watch(frames_per_s=frames_per_s)
        for _ in range(90):
            one.step(1)
            one.tick()
        assert abs(len(channel.messages) - shown) <= 1


async def test_nothing_is_sent_when_nothing_has_changed(clock: FakeClock) -> None:
    async with theatre(3) as one:
        channel = one.watch()
        one.step(2)
        one.tick()
        one.tick()
        assert len(channel.messages) == 1
        assert len(sessions_of(channel.messages)) == 1


async def test_a_session_is_encoded_once_for_all_who_watch_it(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = 0
    encode = SessionView._encode

    def count(self: SessionView, *form: Any) -> Any:
        nonlocal encoded
        encoded += 1
        return encode(self, *form)

    async with theatre(2) as one:
        channels = [one.watch() for _ in range(10)] + [one.watch(JSON) for _ in range(10)]
        monkeypatch.setattr(SessionView, "_encode", count)
        one.step(1, 2)
        one.tick()
        assert all(len(channel.messages) == 1 for channel in channels)
        assert encoded == 4


async def test_a_burst_ends_in_time_and_the_rest_follows_in_turn(clock: FakeClock) -> None:
    async with theatre(40) as one:
        channel = one.watch()
        one.step(*range(1, 41))
        # Each look at the clock takes a quarter of a burst.
        clock.look_s = module.BURST_S / 4
        for _ in range(40):
            one.tick()
        clock.look_s = 0
        one.tick()
        assert len(channel.messages) >= 8
        shown = sessions_of(channel.messages)
        assert len(shown) == len(set(shown)) == 40


@pytest.mark.parametrize(("load", "share"), [(0.0, 0.05), (0.25, 0.03), (0.5, 0.01), (1.0, 0.01)])
async def test_what_spectators_have_taken_is_rested_for(
    clock: FakeClock, busy: Busy, load: float, share: float
) -> None:
    async with theatre(40) as one:
        one.watch()
        one.tick()
        one.step(*range(1, 41))
        busy.s += load * one.loop.pause_s
        before_s = clock.now_s
        clock.look_s = module.BURST_S
        one.tick()
        clock.look_s = 0
        took_s = clock.now_s - before_s
        assert took_s > 0
        assert one.loop.pause_s == pytest.approx(max(module.TICK_S, took_s / share), rel=0.3)


async def test_each_of_many_spectators_gets_something_in_every_burst(clock: FakeClock) -> None:
    async with theatre(20) as one:
        channels = [one.watch() for _ in range(10)]
        one.step(*range(1, 21))
        clock.look_s = module.BURST_S
        one.tick()
        assert [len(sessions_of(channel.messages)) for channel in channels] == [1] * 10


async def test_a_client_that_acknowledges_nothing_is_kept_eight_rounds(clock: FakeClock) -> None:
    async with theatre() as one:
        channel = one.watch()
        channel.acknowledges = False
        for _ in range(50):
            one.step(1)
            one.tick()
        assert len(channel.messages) == module.EVENTS_AHEAD
        channel.acknowledge()
        one.tick()
        assert len(channel.messages) == module.EVENTS_AHEAD + 1
        last = msgspec.msgpack.decode(channel.messages[-1])[1][0]
        assert last[2][0]["step"] == 50


async def test_a_socket_that_takes_nothing_keeps_eight_rounds_waiting(clock: FakeClock) -> None:
    async with theatre() as one:
        channel = one.watch()
        channel.is_writable = False
        for _ in range(50):
            one.step(1)
            one.tick()
        [link] = [one for one in one.registry.links.values() if one.channel is channel]
        assert channel.messages == []
        assert len(link.outbox.writer.frames) == module.EVENTS_AHEAD


async def test_together_summaries_are_not_larger_than_the_client_takes(clock: FakeClock) -> None:
    async with theatre(20) as one:
        channel = one.watch()
        channel.protocol.peer_max_message_bytes = f.MIN_MESSAGE_BYTES + 700
        one.step(*range(1, 21))
        one.tick()
        frames = [frame for data in channel.messages for frame in msgspec.msgpack.decode(data)[1]]
        assert [frame[0] for frame in frames] == ["event"] * len(frames)
        assert len(set(sessions_of(channel.messages))) == 20


async def test_sessions_that_come_and_go_unseen_leave_nothing_behind(clock: FakeClock) -> None:
    async with theatre(0) as one:
        one.watch()
        for _ in range(3):
            one.open(100)
            one.play([f.Close(1, number) for number in range(1, one.sessions + 1)])
        watching = next(iter(one.spectators._watches.values()))
        assert not watching.pending
        assert not watching.shown
        assert not watching.ended
        one.tick()
        assert not one.spectators.changed
        assert not one.spectators._views


def test_how_busy_a_thread_is_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    before_s = module._busy_s()
    # The kernel counts what a running thread computes at its ticks, which are up to 10 ms apart.
    until_s = time.thread_time() + 0.05
    while time.thread_time() < until_s:
        pass
    assert module._busy_s() - before_s > 0.03

    def refuse(*_: Any) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", refuse)
    assert module._busy_s() == pytest.approx(time.thread_time(), abs=1)
