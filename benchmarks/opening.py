"""Where do the microseconds of opening and resetting a session go? Both sides in memory.

`python -m benchmarks.opening`. As benchmarks.breakdown does for steps: each side is timed whole, on
messages of 256 sessions, without sockets, and then parts of it alone. Medians, as what is opened
must be closed again, and memory is taken and given back.
"""

from __future__ import annotations

import gc
import statistics
import time
from itertools import count
from secrets import token_hex
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.breakdown import Answering, Sink, best_us
from benchmarks.machine import facts
from envs.echo_env import EchoEnv
from envs.echo_env.server.environment import EchoEnvironment
from openenv.client.link.dialing import Dialed
from openenv.client.pool import Pool
from openenv.protocol import frames as f
from openenv.protocol.server import ServerProtocol
from openenv.protocol.wire import MSGPACK
from openenv.server.config import ServerConfig
from openenv.server.host import make_registry
from openenv.server.links.link import SessionLink

SESSIONS = 256
_RUNS = 100


async def server_us() -> dict[str, float]:
    """Return what the server takes for each session, from a message's bytes to the reply's."""
    registry = make_registry(EchoEnvironment, config=ServerConfig(max_concurrent_envs=SESSIONS))
    await registry.start()
    channel: Any = Sink()
    link = SessionLink(registry, ServerProtocol(MSGPACK, "token"))
    link.attach(channel)
    await link.outbox.greet(channel, link.protocol.attach(f.ClientHello()))
    ids, numbers = count(1), count(1)

    def handle_us(frames: list[Any]) -> float:
        message = MSGPACK.encode((link.protocol.link.sent, frames))
        began_s = time.perf_counter()
        link.answer(channel, message)
        return (time.perf_counter() - began_s) / SESSIONS * 1e6

    found: dict[str, list[float]] = {"open": [], "reset": [], "close": []}
    for _ in range(_RUNS):
        opened = [next(numbers) for _ in range(SESSIONS)]
        for name, frame in (("open", f.Open), ("reset", f.Reset), ("close", f.Close)):
            found[name].append(handle_us([frame(next(ids), number) for number in opened]))
    link.end()
    await registry.aclose()
    return {name: statistics.median(times) for name, times in found.items()}


async def client_us() -> dict[str, float]:
    """Return what the client takes for each session, without its close."""
    channel: Any = Answering()

    async def dial() -> Dialed:
        return Dialed(channel, MSGPACK.subprotocol)

    found: dict[str, list[float]] = {"open": [], "reset": []}
    async with Pool("memory", 1, dial=dial) as pool:
        for _ in range(_RUNS):
            channel.spent_s, began_s = 0.0, time.perf_counter()
            envs = await pool.sessions(SESSIONS, EchoEnv)
            opened_s = time.perf_counter()
            found["open"].append((opened_s - began_s - channel.spent_s) / SESSIONS * 1e6)
            channel.spent_s = 0.0
            await pool.reset_many(envs)
            spent_s = time.perf_counter() - opened_s - channel.spent_s
            found["reset"].append(spent_s / SESSIONS * 1e6)
    return {name: statistics.median(times) for name, times in found.items()}


def parts_us() -> dict[str, float]:
    """Return what some parts take alone."""
    environments = [EchoEnvironment() for _ in range(SESSIONS)]
    return {
        "server: the environment's own, made and reset": best_us(
            lambda: [EchoEnvironment() for _ in range(SESSIONS)]
        )
        + best_us(lambda: [environment.reset() for environment in environments]),
        "server: the token": best_us(lambda: [token_hex() for _ in range(SESSIONS)]),
        "client: its objects": best_us(lambda: [EchoEnv("memory") for _ in range(SESSIONS)]),
    }


def main() -> None:
    """Measure and print."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    server, client = uvloop.run(server_us()), uvloop.run(client_us())
    processor = facts().get("processor", "unknown processor")
    shown = Table(title=f"{processor}, {SESSIONS} sessions in a message", title_justify="left")
    shown.add_column("us per session", no_wrap=True)
    shown.add_column("", justify="right")
    for side, found in (("server", server), ("client", client)):
        for name, us in found.items():
            shown.add_row(f"{side}: {name}", f"{us:.2f}")
    shown.add_section()
    for name, us in parts_us().items():
        shown.add_row(f"of it, {name}", f"{us:.2f}")
    Console(width=110).print(shown)


if __name__ == "__main__":
    main()
