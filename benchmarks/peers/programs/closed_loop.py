"""Measures a client: every episode steps again as soon as its last step came back.

Owns the loops, the window and the clocks, so that every row of a benchmark is measured by the
same lines. Runs under every interpreter, so it knows the standard library only, and no client.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

MESSAGE = "The quick brown fox jumps over the lazy dog and runs off again.."
"""What every step sends and gets back: 64 characters."""

# Reading the clock twice a step would cost our fastest rows a tenth of their rate, and other rows
# nothing: so at most this many lanes are timed, spread evenly, in every row.
_TIMED_LANES = 16
_END_S = 30.0


@dataclass(frozen=True)
class Lane:
    """One loop: each call of `step` moves `episodes` episodes by one step each.

    `check` plays a step and raises unless its result is right; it is called once, before the clocks
    run, so that no row measures anything but what it says.
    """

    step: Callable[[], Awaitable[object]]
    episodes: int = 1
    check: Callable[[], Awaitable[None]] | None = None


if TYPE_CHECKING:
    OpenLanes = Callable[[str, int], AbstractAsyncContextManager[list[Lane]]]


def answer_requests(open_lanes: OpenLanes, run: Callable[[Any], dict[str, Any]]) -> None:
    """Measure once for every line of standard input; print one line for each.

    A line is {"url", "sessions", "warmup_s", "window_s", "server_pid"}. `run` is asyncio.run or
    what stands for it on another event loop. Opening the lanes opens and resets all sessions, and
    is measured, too: how long it takes, and what the server then needs to hold them.
    """
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = run(_measure(open_lanes, request))
        except Exception:  # noqa: BLE001 - goes to whoever asked
            answer = {"failed": traceback.format_exc()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


async def _measure(open_lanes: OpenLanes, request: dict[str, Any]) -> dict[str, Any]:
    server_pid = request["server_pid"]
    empty_kib = _status(server_pid)["VmRSS"]
    begun_s = time.perf_counter()
    async with open_lanes(request["url"], request["sessions"]) as lanes:
        opened = {"opening_s": time.perf_counter() - begun_s}
        held = _status(server_pid)
        opened |= {"sessions_kib": held["VmRSS"] - empty_kib, "server_threads": held["Threads"]}
        await asyncio.gather(*(lane.check() for lane in lanes if lane.check))
        return opened | await _measure_steps(lanes, request)


async def _measure_steps(lanes: list[Lane], request: dict[str, Any]) -> dict[str, Any]:
    loops = _Loops(lanes)
    pids = _with_descendants(request["server_pid"])
    server_clocks = [clock for clock in map(_cpu_clock, pids) if clock is not None]
    tasks = loops.start()
    await asyncio.sleep(request["warmup_s"])
    loops.latencies_ns.clear()
    before = _reading(loops, server_clocks)
    await asyncio.sleep(request["window_s"])
    after = _reading(loops, server_clocks)
    latencies_ns = sorted(loops.latencies_ns)
    loops.stopped = True
    await asyncio.wait_for(asyncio.gather(*tasks), _END_S)
    spent = {name: after[name] - before[name] for name in before}
    if not spent["steps"] or not latencies_ns:
        raise RuntimeError(f"no step ended within the window of {request['window_s']} s")
    return spent | {
        "p50_us": _percentile(latencies_ns, 0.50) / 1e3,
        "p99_us": _percentile(latencies_ns, 0.99) / 1e3,
        "timed": len(latencies_ns),
    }


class _Loops:
    """All lanes running, and what they counted."""

    def __init__(self, lanes: list[Lane]) -> None:
        self._lanes = lanes
        self._calls = [0] * len(lanes)
        self.latencies_ns: list[int] = []
        self.stopped = False

    def start(self) -> list[asyncio.Task[None]]:
        stride = max(1, len(self._lanes) // _TIMED_LANES)
        timed = set(range(0, stride * _TIMED_LANES, stride))
        return [
            asyncio.create_task((self._timed if number in timed else self._untimed)(number))
            for number in range(len(self._lanes))
        ]

    @property
    def steps(self) -> int:
        return sum(
            calls * lane.episodes for calls, lane in zip(self._calls, self._lanes, strict=True)
        )

    async def _untimed(self, number: int) -> None:
        step, calls = self._lanes[number].step, self._calls
        while not self.stopped:
            await step()
            calls[number] += 1

    async def _timed(self, number: int) -> None:
        step, calls = self._lanes[number].step, self._calls
        now, note = time.perf_counter_ns, self.latencies_ns.append
        while not self.stopped:
            start = now()
            await step()
            note(now() - start)
            calls[number] += 1


def _reading(loops: _Loops, server_clocks: list[int]) -> dict[str, float]:
    return {
        "steps": loops.steps,
        "elapsed_s": time.perf_counter(),
        "machine_cpu_s": _machine_cpu_s(),
        "client_cpu_s": time.process_time(),
        "server_cpu_s": sum(map(_clock_s, server_clocks)),
    }


def _with_descendants(pid: int) -> list[int]:
    """Return a process and all that it has started, directly or not: a server may be several."""
    found = [pid]
    for path in glob(f"/proc/{pid}/task/*/children"):
        with suppress(FileNotFoundError), open(path, encoding="ascii") as file:
            for child in file.read().split():
                found += _with_descendants(int(child))
    return found


def _status(pid: int) -> dict[str, int]:
    """Return how many threads a process has, and how much resident memory in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        fields = dict(line.split(":", 1) for line in file if line.startswith(("VmRSS", "Threads")))
    return {name: int(value.split()[0]) for name, value in fields.items()}


def _cpu_clock(pid: int) -> int | None:
    """Return the clock of all CPU time of a process: exact, and ended threads stay counted.

    None for one that has ended meanwhile.
    """
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    return None if error else clock.value


def _clock_s(clock: int) -> float:
    """Return what a clock says; nothing of a process that has ended."""
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0


def _machine_cpu_s() -> float:
    """Return the CPU time of all processes and of other guests of the same hardware, all cores."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, _, _, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")


def _percentile(ordered: list[int], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
