"""Where do a step's microseconds go? Both sides in memory, without sockets, part by part.

`python -m benchmarks.breakdown`. Each side is timed whole, on messages of 256 steps, and then its
parts alone; what is left is the bookkeeping between them. A second table says how the whole grows
with the number of sessions, whose memory is then no longer in the processor's cache. Times are the
best of many runs, and of this machine; shares mean the same elsewhere. What the kernel takes is in
none of them.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from itertools import count
from timeit import repeat
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.machine import facts
from benchmarks.peers.programs.closed_loop import MESSAGE
from envs.echo_env import EchoAction, EchoEnv, EchoObservation
from envs.echo_env.server.environment import EchoEnvironment
from openenv.channel import ChannelClosed, Inbox
from openenv.client.link.dialing import Dialed
from openenv.client.pool import Pool
from openenv.codec import codec_for
from openenv.lifting import Columns
from openenv.protocol import frames as f
from openenv.protocol.client import ClientProtocol
from openenv.protocol.server import ServerProtocol
from openenv.protocol.wire import MSGPACK
from openenv.server.config import ServerConfig
from openenv.server.host import make_registry
from openenv.server.links.link import SessionLink

SESSIONS = 256
MORE_SESSIONS = (1024, 10_000)
MakeFrames = Callable[[Callable[[], int], int], list[Any]]

_ORDER = (
    "actions to messages",
    "messages to frames",
    "bytes to actions",
    "the environment's own",
    "observations to payloads",
    "replies to messages",
    "future and task switch",
    "bytes to observations",
    "everything else",
    "together",
)
"The parts in the order of a step."

_RUNS = 40
_TURNS = 20
_ACTION = EchoAction(message=MESSAGE)


def best_us(call: Callable[[], object], steps: int = SESSIONS) -> float:
    """Return the microseconds per step of a call that makes so many."""
    return min(repeat(call, number=20, repeat=_RUNS)) / 20 / steps * 1e6


# ---- the server


class Sink:
    """A channel whose other side takes everything at once."""

    is_writable = True

    def write(self, data: Any) -> None:
        """Drop a message."""

    async def send(self, data: Any) -> None:
        """Drop a message."""

    def listen(self, listener: Any) -> None:
        """Nobody ever sends."""


async def server_us(make_frames: MakeFrames, sessions: int = SESSIONS) -> float:
    """Return what the server takes from a message's bytes to the reply's, per step."""
    registry = make_registry(EchoEnvironment, config=ServerConfig(max_concurrent_envs=sessions))
    await registry.start()
    channel: Any = Sink()
    link = SessionLink(registry, ServerProtocol(MSGPACK, "token"))
    link.attach(channel)
    await link.outbox.greet(channel, link.protocol.attach(f.ClientHello()))
    next_id = count(1).__next__

    def handle(frames: list[Any]) -> float:
        message = MSGPACK.encode((link.protocol.link.sent, frames))
        began_s = time.perf_counter()
        link.answer(channel, message)
        return time.perf_counter() - began_s

    numbers = range(1, sessions + 1)
    handle([f.Open(next_id(), number) for number in numbers])
    handle([f.Reset(next_id(), number) for number in numbers])
    runs = 20 * _RUNS * SESSIONS // sessions
    best_s = min(handle(make_frames(next_id, sessions)) for _ in range(runs))
    link.end()
    await registry.aclose()
    return best_s / sessions * 1e6


def singly(next_id: Callable[[], int], sessions: int = SESSIONS) -> list[Any]:
    """Return a frame for each step."""
    return [f.Step(next_id(), number, _ACTION) for number in range(1, sessions + 1)]


def in_columns(next_id: Callable[[], int], sessions: int = SESSIONS) -> list[Any]:
    """Return one frame for all steps."""
    ids = [next_id() for _ in range(sessions)]
    return [f.Steps(ids, list(range(1, sessions + 1)), [_ACTION] * sessions)]


def server_parts(make_frames: MakeFrames) -> dict[str, float]:
    """Return what each part takes alone."""
    message = MSGPACK.encode((0, make_frames(count(10**6).__next__, SESSIONS)))
    decoder = ServerProtocol(MSGPACK, "token")
    environment = EchoEnvironment()
    observations = [environment.step(_ACTION) for _ in range(SESSIONS)]
    action, observation = codec_for(EchoAction), codec_for(EchoObservation)
    parts = {
        "messages to frames": best_us(lambda: decoder._decoder.decode(message)),
        "the environment's own": best_us(
            lambda: [environment.step(_ACTION) for _ in range(SESSIONS)]
        ),
    }
    _, frames = decoder._decoder.decode(message)
    ids = list(range(10**6, 10**6 + SESSIONS))
    if make_frames is singly:
        decode, lift = action.decoder("msgpack"), observation.lifter(observations[0], f.Result)
        assert decode is not None
        parts["bytes to actions"] = best_us(lambda: [decode(frame.action) for frame in frames])
        parts["observations to payloads"] = best_us(lambda: list(map(lift, ids, observations)))
        replies: list[Any] = list(map(lift, ids, observations))
    else:
        raw, lift_all = frames[0].actions, observation.column_lifter(observations[0])
        parts["bytes to actions"] = best_us(lambda: action.decode_column(raw, "msgpack"))
        parts["observations to payloads"] = best_us(lambda: lift_all(observations))
        replies = [f.Results(ids, *lift_all(observations))]
    parts["replies to messages"] = best_us(lambda: MSGPACK.encode((1, replies)))
    return parts


# ---- the client


class Answering:
    """The channel to a server that gives every step the same answer at once.

    Stands in for a server, so that nothing but the client is timed; its own time is counted.
    """

    def __init__(self) -> None:
        self.spent_s = 0.0
        self._protocol = ServerProtocol(MSGPACK, "token")
        self._inbox = Inbox()
        observation = EchoEnvironment().step(_ACTION)
        self._result = codec_for(EchoObservation).lifter(observation, f.Result)(0, observation)
        self._is_greeted = False

    async def send(self, data: Any) -> None:
        """Answer a message."""
        began_s = time.perf_counter()
        if self._is_greeted:
            replies = [self._answer(frame) for frame in self._protocol.receive(data)]
            messages = self._protocol.send(replies) if replies else []
        else:
            self._is_greeted = True
            messages = self._protocol.attach(f.ClientHello())
        self.spent_s += time.perf_counter() - began_s
        for message in messages:
            self._inbox.put(message)

    async def receive(self) -> Any:
        """Return the next answer."""
        return await self._inbox.get()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """End."""
        self._inbox.close(ChannelClosed(code, reason))

    def _answer(self, frame: Any) -> Any:
        one = self._result
        if type(frame) is f.Open:
            return f.Opened(frame.id, "session")
        if type(frame) is f.Steps:
            rows = len(frame.ids)
            never = [False] * rows
            return f.Results(frame.ids, [one.observation] * rows, [one.reward] * rows, never, never)
        return f.Result(frame.id, one.observation, one.reward)


async def client_us(make_frames: MakeFrames, sessions: int = SESSIONS) -> float:
    """Return what the client takes from an action to a result, per step."""
    channel: Any = Answering()

    async def dial() -> Dialed:
        return Dialed(channel, MSGPACK.subprotocol)

    async with Pool("memory", 1, dial=dial) as pool:
        envs = await pool.sessions(sessions, EchoEnv)
        await pool.reset_many(envs)
        best_s = float("inf")
        for _ in range(max(2, _RUNS * SESSIONS // sessions)):
            channel.spent_s, began_s = 0.0, time.perf_counter()
            if make_frames is singly:
                await asyncio.gather(*(_play(env) for env in envs))
            else:
                for _ in range(_TURNS):
                    await pool.step_many(envs, [_ACTION] * sessions)
            best_s = min(best_s, time.perf_counter() - began_s - channel.spent_s)
    return best_s / _TURNS / sessions * 1e6


async def _play(env: EchoEnv) -> None:
    for _ in range(_TURNS):
        await env.step(_ACTION)


async def task_switch_us() -> float:
    """Return what it takes to make a future, wait for it in a task, and be woken by it."""
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[None]] = []

    async def wait() -> None:
        for _ in range(_TURNS):
            future = loop.create_future()
            futures.append(future)
            await future

    best_s = float("inf")
    for _ in range(_RUNS):
        tasks = [asyncio.create_task(wait()) for _ in range(SESSIONS)]
        began_s = time.perf_counter()
        await asyncio.sleep(0)
        while futures:
            woken, futures[:] = list(futures), []
            for future in woken:
                future.set_result(None)
            await asyncio.sleep(0)
        best_s = min(best_s, time.perf_counter() - began_s)
        await asyncio.gather(*tasks)
    return best_s / _TURNS / SESSIONS * 1e6


def client_parts(make_frames: MakeFrames, switch_us: float) -> dict[str, float]:
    """Return what each part takes alone."""
    observation = EchoEnvironment().step(_ACTION)
    codec = codec_for(EchoObservation)
    ids = list(range(10**6, 10**6 + SESSIONS))
    frames = make_frames(count(10**6).__next__, SESSIONS)
    if make_frames is singly:
        lift = codec.lifter(observation, f.Result)
        replies: list[Any] = [lift(number, observation) for number in ids]
    else:
        replies = [f.Results(ids, *codec.column_lifter(observation)([observation] * SESSIONS))]
    message = MSGPACK.encode((0, replies))
    decoder = ClientProtocol(MSGPACK)._decoder
    _, received = decoder.decode(message)
    parts = {
        "actions to messages": best_us(lambda: MSGPACK.encode((0, frames))),
        "messages to frames": best_us(lambda: decoder.decode(message)),
    }
    if make_frames is singly:
        parts["future and task switch"] = switch_us
        parts["bytes to observations"] = best_us(
            lambda: [codec.restore(frame.observation, "msgpack", frame) for frame in received]
        )
    else:
        one = received[0]
        lifted = Columns([], one.rewards, one.done, one.truncated, one.metadata)
        parts["bytes to observations"] = best_us(
            lambda: codec.restore_column(one.observations, "msgpack", lifted)
        )
    return parts


# ---- the table


async def measure() -> dict[str, dict[str, float]]:
    """Return the microseconds per step of each side, whole and in parts."""
    found = {}
    switch_us = await task_switch_us()
    for name, make_frames in (("a frame each", singly), ("in columns", in_columns)):
        sides = {
            "server": (await server_us(make_frames), server_parts(make_frames)),
            "client": (await client_us(make_frames), client_parts(make_frames, switch_us)),
        }
        for side, (whole, parts) in sides.items():
            rest = whole - sum(parts.values())
            found[f"{side}, {name}"] = {**parts, "everything else": rest, "together": whole}
    return found


async def growth() -> dict[str, list[float]]:
    """Return the microseconds per step of each side, whole, for more and more sessions."""
    found: dict[str, list[float]] = {}
    for sessions in (SESSIONS, *MORE_SESSIONS):
        for name, make_frames in (("a frame each", singly), ("in columns", in_columns)):
            for side, whole_us in (("server", server_us), ("client", client_us)):
                times = found.setdefault(f"{side}, {name}", [])
                times.append(await whole_us(make_frames, sessions))
    return found


def main() -> None:
    """Measure and print."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    found, grown = uvloop.run(measure()), uvloop.run(growth())
    processor = facts().get("processor", "unknown processor")
    shown = Table(title=f"{processor}, {SESSIONS} steps in a message", title_justify="left")
    shown.add_column("us per step", no_wrap=True)
    for name in found:
        shown.add_column(name, justify="right")
    for part in _ORDER:
        cells = [f"{column[part]:.2f}" if part in column else "" for column in found.values()]
        shown.add_row(part, *cells, end_section=part == _ORDER[-2])
    grows = Table(title="together, at so many sessions", title_justify="left")
    grows.add_column("us per step", no_wrap=True)
    for sessions in (SESSIONS, *MORE_SESSIONS):
        grows.add_column(f"{sessions:,}", justify="right")
    for name, times in grown.items():
        grows.add_row(name, *(f"{us:.2f}" for us in times))
    for table in (shown, grows):
        Console(width=110).print(table)


if __name__ == "__main__":
    main()
