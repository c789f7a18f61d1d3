"""Where should an environment run: on the event loop, on threads, or in worker processes?

Steps that cost nothing, that compute, and that sleep, in each placement, measured in turns. Nothing
is pinned to a core: server, workers and client share the machine, as they would for its owner. Run
`python -m benchmarks.placement`; with `--collect`, `openenv collect` against `openenv serve` alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import facts
from benchmarks.measuring import Cores
from benchmarks.peers.program import ProgramError, running
from benchmarks.placed import LOOPS, SLEEP_S, work
from benchmarks.report import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHECKOUT = Path(__file__).resolve().parents[1]
_OPENING_S = 60.0
_OPENENV = (sys.executable, "-m", "openenv.cli")


@dataclass(frozen=True)
class Load:
    """What a step does."""

    name: str
    environment: str
    work_us: int = 0

    def ideal(self, sessions: int, cores: int) -> float | None:
        """Return the steps per second if nothing but the environments took any time."""
        if self.environment == "Sleep":
            return sessions / SLEEP_S
        return cores / self.work_us * 1e6 if self.work_us else None


LOADS = (
    Load("echo", "Echo"),
    Load("200 us of work", "Work", 200),
    Load("1 ms of work", "Work", 1000),
    Load("5 ms asleep", "Sleep"),
)
PLACES = (("inline",), ("thread",), ("process", "1"), ("process", "2"))
BARE_THREADS = "threads alone, without a server"


@dataclass(frozen=True)
class Window:
    """One measured window of one row."""

    load: str
    place: str
    steps_per_s: float
    p50_us: float
    p99_us: float
    server_cpu_us: float
    "Per step, of the process that has the sockets and its workers."
    disturbance: float
    "What others took of the machine meanwhile, in cores."


class Disturbance:
    """What others have taken since this was made, in cores. The programs must have ended."""

    def __init__(self) -> None:
        self._began = self._read()

    def read(self) -> float:
        """Return the mean until now."""
        elapsed_s, own_s, machine_s = (
            now - then for now, then in zip(self._read(), self._began, strict=True)
        )
        return max(0.0, machine_s - own_s) / elapsed_s

    @staticmethod
    def _read() -> tuple[float, float, float]:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own_s = children.ru_utime + children.ru_stime + time.process_time()
        stat = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)
        user, nice, system, _, _, _, _, steal = map(int, stat[1:9])
        machine_s = (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), own_s, machine_s


@cache
def loops_per_us() -> float:
    """Return how many loops of `work` this machine does in a microsecond, at its best.

    Looked at once: in all rows a step is the same amount of work.
    """
    loops = 20_000
    return loops / min(_seconds_of(loops) for _ in range(500)) / 1e6


def loops_for(work_us: float) -> int:
    """Return how many loops of `work` take this long."""
    return round(loops_per_us() * work_us)


def _seconds_of(loops: int) -> float:
    began_s = time.perf_counter()
    work(loops)
    return time.perf_counter() - began_s


@contextmanager
def _loops(count: int) -> Iterator[None]:
    """Let the programs that are started meanwhile inherit how much work a step is."""
    os.environ[LOOPS] = str(count)
    yield
    del os.environ[LOOPS]


def measure(
    load: Load,
    place: tuple[str, ...],
    *,
    sessions: int = 64,
    window_s: float = 1.0,
    pin: bool = False,
) -> Window:
    """Measure one window against a fresh server."""
    cores = Cores.available() if pin else None
    python, disturbance = (sys.executable, "-m"), Disturbance()
    server_command = [*python, "benchmarks.serve_placed", load.environment, *place]
    with (
        _loops(loops_for(load.work_us) if load.work_us else 0),
        running(server_command, core=cores.server if cores else None) as server,
        running(
            [*python, "benchmarks.load_ours", "multiplexed"], core=cores.client if cores else None
        ) as client,
    ):
        request = {
            "url": server.announcement["url"],
            "server_pid": server.pid,
            "sessions": sessions,
            "warmup_s": 0.3,
            "window_s": window_s,
        }
        answer = client.ask(request, window_s + _OPENING_S)
    return Window(
        load=load.name,
        place=" x ".join(place),
        steps_per_s=answer["steps"] / answer["elapsed_s"],
        p50_us=answer["p50_us"],
        p99_us=answer["p99_us"],
        server_cpu_us=answer["server_cpu_s"] / answer["steps"] * 1e6,
        disturbance=disturbance.read(),
    )


def measure_bare_threads(*, sessions: int = 64, window_s: float = 1.0, pin: bool = False) -> Window:
    """Measure the floor under `LOADS[-1]` on threads."""
    disturbance = Disturbance()
    command = [sys.executable, "-m", "benchmarks.bare_threads", str(sessions), str(window_s)]
    with running(command, core=Cores.available().server if pin else None) as program:
        found = program.announcement
    return Window(
        load=LOADS[-1].name,
        place=BARE_THREADS,
        steps_per_s=found["steps"] / found["elapsed_s"],
        p50_us=0.0,
        p99_us=0.0,
        server_cpu_us=found["cpu_s"] / found["steps"] * 1e6,
        disturbance=disturbance.read(),
    )


def table(windows: list[Window], sessions: int) -> Table:
    """Return medians, a section for each load."""
    shown = Table(title=f"{sessions} sessions, each with one step in flight", title_justify="left")
    for name in ("a step is", "placement"):
        shown.add_column(name, no_wrap=True)
    for name in ("steps/s", "of the ideal", "p50 ms", "p99 ms", "server us/step", "others"):
        shown.add_column(name, justify="right")
    cores = len(os.sched_getaffinity(0))
    for load in LOADS:
        ideal = load.ideal(sessions, cores)
        for place in (*(" x ".join(place) for place in PLACES), BARE_THREADS):
            row = [w for w in windows if (w.load, w.place) == (load.name, place)]
            if row:
                rate = median(w.steps_per_s for w in row)
                shown.add_row(
                    load.name,
                    place,
                    f"{rate:,.0f}",
                    "-" if ideal is None else f"{rate / ideal:.0%}",
                    _milliseconds(median(w.p50_us for w in row)),
                    _milliseconds(median(w.p99_us for w in row)),
                    f"{median(w.server_cpu_us for w in row):.1f}",
                    f"{median(w.disturbance for w in row):.2f}",
                )
        shown.add_section()
    return shown


def _milliseconds(time_us: float) -> str:
    return f"{time_us / 1e3:,.2f}" if time_us else "-"


# ---- openenv collect against openenv serve


def collected(workers: int, work_us: int, episodes: int) -> tuple[float, float]:
    """Return the steps per second that the two commands reach, and what others took meanwhile."""
    disturbance = Disturbance()
    with _loops(loops_for(work_us)), tempfile.TemporaryDirectory() as folder:
        serve = (*_OPENENV, "serve", "benchmarks.placed:Work", "--port", "0")
        server = subprocess.Popen(
            [*serve, "--workers", str(workers)], cwd=_CHECKOUT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            arguments = ("--episodes", str(episodes), "--max-turns", "10", "--concurrency", "64")
            run = subprocess.run(
                [*_OPENENV, "collect", url, *arguments, "--out", f"{folder}/x.jsonl"],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"PYTHONPATH": str(_CHECKOUT)},
            )
        finally:
            server.terminate()
            server.communicate()
    found = re.search(r"steps/s\W+([\d,]+)", run.stdout)
    assert found is not None, run.stdout
    return float(found.group(1).replace(",", "")), disturbance.read()


def measure_collect(rounds: int, work_us: int) -> tuple[Table, dict[int, Any]]:
    """Measure one and two workers in turns."""
    measured: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, found in measured.items():
            found.append(collected(workers, work_us, 64 * workers))
    rates = {workers: [rate for rate, _ in found] for workers, found in measured.items()}
    shown = Table(title=f"openenv collect, {work_us / 1e3:g} ms of work", title_justify="left")
    for name in ("workers", "steps/s", "to one worker", "in pairs", "others"):
        shown.add_column(name, justify="right")
    others = [", ".join(f"{taken:.2f}" for _, taken in found) for found in measured.values()]
    one, two = median(rates[1]), median(rates[2])
    pairs = ", ".join(f"{b / a:.2f}x" for a, b in zip(*rates.values(), strict=True))
    shown.add_row("1", f"{one:,.0f}", "1.00x", "", others[0])
    shown.add_row("2", f"{two:,.0f}", f"{two / one:.2f}x", pairs, others[1])
    return shown, measured


def main() -> int:
    """Measure, print, write; return the exit code."""
    options = _parser().parse_args()
    console, told = Console(width=110), Console(stderr=True)
    content: dict[str, Any] = {"machine": facts(), "options": vars(options)}
    content["loops_per_us"] = loops_per_us()
    try:
        if not options.collect:
            windows: list[Window] = []
            loads = [load for load in LOADS if (options.load or "") in load.name]
            for number in range(options.rounds):
                settings = {
                    "sessions": options.sessions,
                    "window_s": options.window,
                    "pin": options.pin,
                }
                if LOADS[-1] in loads:
                    windows.append(measure_bare_threads(**settings))
                for load in loads:
                    for place in PLACES:
                        told.print(f"round {number + 1}: {load.name}, {' x '.join(place)}")
                        windows.append(measure(load, place, **settings))
            console.print(table(windows, options.sessions))
            content["windows"] = [asdict(window) for window in windows]
        shown, rates = measure_collect(options.rounds, options.collect_work)
        console.print(shown)
        content["collect_steps_per_s_and_others"] = rates
    except ProgramError as error:
        told.print(str(error), style="red", markup=False)
        return 1
    moment = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"placement-{moment:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    console.print(f"written to {path}", soft_wrap=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.placement", description=__doc__)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="how many windows of each row")
    parser.add_argument("--window", type=float, metavar="S", default=1.0, help="its length")
    parser.add_argument("--load", help="only loads whose name has this in it")
    parser.add_argument(
        "--pin", action="store_true", help="server and client to one core each, with all workers"
    )
    parser.add_argument("--collect", action="store_true", help="only openenv collect")
    parser.add_argument(
        "--collect-work", type=int, metavar="US", default=5000, help="what a step there computes"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
