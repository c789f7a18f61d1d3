"""How many steps per second does each environment make, called directly and served?

`python -m benchmarks.environments`. Raw is the environment's class called in process, without a
server. The environment and whatever serves it have one core, and the client another, so rates are
steps per second of a core: run it on a machine that does nothing else. With `--policies`, what the
sample policies earn beside actions drawn at random. `--catalogue` puts what the newest run has
found into envs/README.md, and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks import catalogue, policies
from benchmarks.machine import facts
from benchmarks.measuring import Cores
from benchmarks.peers.program import Program, ProgramError, running
from benchmarks.report import RESULTS
from benchmarks.tape import subjects
from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.tape import Subject

SESSIONS = 8
WARMUP_S = 0.3
OPENING_S = 120.0
FRAME_BYTES = 100_000
RAW, DEFAULT = "raw", "default"
PLACES = ("inline", "thread", "process")

SLOW_MS = 1.0
SLOW_GOAL, FRAME_GOAL = 0.8, 0.5
"What must be left of the raw rate: of steps slower than this, and of Atari's frames."


@dataclass(frozen=True)
class Window:
    """One measured window."""

    environment: str
    place: str
    round: int
    steps_per_s: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True)
class Finding:
    """What was found of an environment: medians over the rounds."""

    environment: str
    raw_steps_per_s: float
    execution: str
    "Where it runs by default."
    steps_per_s: float
    "Served so; the next three, too."
    ratio: float
    "To raw, round by round."
    p50_ms: float
    sessions_per_core: int
    best: str
    best_ratio: float

    @property
    def raw_ms(self) -> float:
        """How long a step takes without a server."""
        return 1e3 / self.raw_steps_per_s

    @property
    def goal(self) -> float | None:
        """What must be left of the raw rate by default."""
        if self.environment == "atari_env":
            return FRAME_GOAL
        return SLOW_GOAL if self.raw_ms > SLOW_MS else None


def measure(subject: Subject, rounds: int, window_s: float) -> tuple[Finding, list[Window]]:
    """Measure an environment in each place, in turns."""
    cores, name = Cores.available(), subject.manifest.name
    folder = str(subject.folder)
    programs: dict[str, tuple[Program, dict[str, Any]]] = {}
    with ExitStack() as stack:

        def start(core: int, module: str, argument: str) -> Program:
            command = [sys.executable, "-m", f"benchmarks.{module}", folder, argument]
            return stack.enter_context(running(command, core=core))

        raw = start(cores.server, "load_environment", "raw")
        said = _start_server(start, cores, DEFAULT, programs)
        sessions = programs[DEFAULT][1]["sessions"]
        programs[RAW] = raw, {"url": "", "server_pid": raw.pid, "sessions": sessions}
        for place in PLACES if said["execution"] in PLACES else ():
            if place != said["execution"]:
                # Not every environment can be served everywhere.
                with suppress(ProgramError):
                    _start_server(start, cores, place, programs)
        windows = []
        for number in range(rounds):
            for place, (program, request) in programs.items():
                request |= {"warmup_s": WARMUP_S, "window_s": window_s}
                answer = program.ask(request, WARMUP_S + window_s + OPENING_S)
                windows.append(_window(name, place, number, answer))
    return _finding(name, said, windows), windows


def _start_server(
    start: Any, cores: Cores, place: str, programs: dict[str, tuple[Program, dict[str, Any]]]
) -> dict[str, Any]:
    """Start a server and who plays on it; return what the server says of itself."""
    server = start(cores.server, "serve_environment", place)
    request = {
        "url": server.announcement["url"],
        "server_pid": server.pid,
        "sessions": min(SESSIONS, server.announcement["max_sessions"]),
    }
    programs[place] = start(cores.client, "load_environment", "wire"), request
    said: dict[str, Any] = server.announcement
    return said


def _window(environment: str, place: str, number: int, answer: dict[str, float]) -> Window:
    return Window(
        environment=environment,
        place=place,
        round=number,
        steps_per_s=answer["steps"] / answer["elapsed_s"],
        p50_us=answer["p50_us"],
        p99_us=answer["p99_us"],
    )


def _finding(name: str, said: dict[str, Any], windows: Sequence[Window]) -> Finding:
    rates = {
        place: [window.steps_per_s for window in windows if window.place == place]
        for place in dict.fromkeys(window.place for window in windows)
    }
    ratios = {
        place: median(rate / raw for rate, raw in zip(found, rates[RAW], strict=True))
        for place, found in rates.items()
    }
    best = max((place for place in ratios if place != RAW), key=ratios.__getitem__)
    served = median(rates[DEFAULT])
    return Finding(
        environment=name,
        raw_steps_per_s=median(rates[RAW]),
        execution=said["execution"],
        steps_per_s=served,
        ratio=ratios[DEFAULT],
        p50_ms=median(w.p50_us for w in windows if w.place == DEFAULT) / 1e3,
        # Whose policy acts once a second; and no more than a server takes.
        sessions_per_core=min(round(served), said["max_sessions"]),
        best=said["execution"] if best == DEFAULT else best,
        best_ratio=ratios[best],
    )


def table(findings: Sequence[Finding]) -> Table:
    """Return a line for each environment, with its target if it has one."""
    shown = Table(
        title="Steps per second of a core, for the environment and its server", title_justify="left"
    )
    shown.add_column("environment", no_wrap=True)
    heads = ("raw steps/s", "ms/step", "served steps/s", "of raw", "p50 ms", "sessions/core")
    for head in (*heads, "best place", "of raw", "target"):
        shown.add_column(head, justify="right")
    for one in findings:
        shown.add_row(
            one.environment,
            f"{one.raw_steps_per_s:,.0f}",
            f"{one.raw_ms:.3f}",
            f"{one.steps_per_s:,.0f} ({one.execution})",
            f"{one.ratio:.0%}",
            f"{one.p50_ms:.2f}",
            f"{one.sessions_per_core:,}",
            one.best,
            f"{one.best_ratio:.0%}",
            _verdict(one),
        )
    return shown


def _verdict(one: Finding) -> str:
    if one.goal is None:
        return "-"
    return f"{one.goal:.0%}: {'met' if one.ratio >= one.goal else 'not met'}"


def main() -> int:
    """Measure, print, write; return the exit code."""
    options = _parser().parse_args()
    chosen = [one for one in subjects() if options.only in one.manifest.name]
    if not chosen:
        names = ", ".join(one.manifest.name for one in subjects())
        sys.stderr.write(f"no environment has {options.only!r} in its name: there are {names}\n")
        return 2
    if options.catalogue:
        sys.stdout.write(f"written: {', '.join(catalogue.publish())}\n")
        return 0
    console = Console(width=130)
    chosen = [one for one in chosen if _is_installed(one, console)]
    try:
        if options.policies:
            question = "policies"
            returns = [found for one in chosen for found in policies.compare(one)]
            console.print(policies.table(returns))
            content: dict[str, Any] = {"returns": [asdict(one) for one in returns]}
        else:
            question = "environments"
            content = _measure_all(chosen, options.rounds, options.seconds, console)
    except ProgramError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    path = _write(question, {"is_whole": not options.only, **content})
    console.print(f"written to {path}", soft_wrap=True)
    return 0


def _is_installed(subject: Subject, console: Console) -> bool:
    """Whether an environment can be played here; else say why it is left out."""
    try:
        subject.registry  # noqa: B018 (importing it is the point)
    except ConfigurationError as error:
        console.print(f"left out: {error}", style="yellow", markup=False)
        return False
    return True


def _measure_all(
    chosen: Sequence[Subject], rounds: int, window_s: float, console: Console
) -> dict[str, Any]:
    findings, windows = [], []
    with Console(stderr=True).status("starting") as status:
        for one in chosen:
            status.update(one.manifest.name)
            finding, measured = measure(one, rounds, window_s)
            findings.append(finding)
            windows += measured
    console.print(table(findings))
    return {
        "sessions": SESSIONS,
        "rounds": rounds,
        "window_s": window_s,
        "findings": [asdict(one) for one in findings],
        "windows": [asdict(one) for one in windows],
    }


def _write(question: str, content: dict[str, Any]) -> str:
    RESULTS.mkdir(exist_ok=True)
    moment = datetime.now(UTC)
    path = RESULTS / f"{question}-{moment:%Y%m%dT%H%M%SZ}.json"
    head = {
        "question": question,
        "measured_at": moment.isoformat(timespec="seconds"),
        "machine": facts(),
    }
    path.write_text(json.dumps({**head, **content}, indent=2) + "\n")
    return str(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.environments", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="those with this in their name")
    parser.add_argument("--rounds", type=int, default=3, help="how many windows of each row")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each of them is")
    parser.add_argument("--policies", action="store_true", help="what the sample policies earn")
    parser.add_argument("--catalogue", action="store_true", help="write the table of the README")
    return parser


if __name__ == "__main__":
    sys.exit(main())
