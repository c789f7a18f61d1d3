"""Measures rows in turns and takes medians.

Owns pinning, rotation and the summary. Knows nothing of what the programs do, nor of tables.
Every row gets a fresh server and a fresh client in every round, and each round starts with
another row, so that a slow minute of the machine falls on all rows alike.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.peers.program import Program, running
from benchmarks.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


# Beyond window and warm-up: opening and closing the sessions, which upstream does at about 500/s.
_OPENING_S = 60.0
_QUIET_CORES = 0.1
_MANY_SESSIONS = 1000


@dataclass(frozen=True)
class Plan:
    """How to measure."""

    rows: tuple[Row, ...]
    sessions: tuple[int, ...]
    rounds: int
    window_s: float
    warmup_s: float

    def window_for_s(self, sessions: int) -> float:
        """Return how long to measure: the slowest server must get round all sessions in it."""
        return max(self.window_s, min(sessions, _MANY_SESSIONS) / _MANY_SESSIONS)


@dataclass(frozen=True)
class Cores:
    """The core of each side; the same one where the machine has no second."""

    server: int
    client: int

    @classmethod
    def available(cls) -> Cores:
        """Take the first and the last core that this process may use."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(server=cores[0], client=cores[-1])


@dataclass(frozen=True)
class Sample:
    """One window of one row. CPU times are of whole processes, per step.

    `disturbance` is what others took meanwhile, processes and other guests of the same hardware,
    in cores.
    """

    row: str
    sessions: int
    round: int
    steps_per_s: float
    p50_us: float
    p99_us: float
    server_cpu_us: float
    client_cpu_us: float
    timed_steps: int
    disturbance: float
    opens_per_s: float
    kib_per_session: float
    server_threads: int


@dataclass(frozen=True)
class Summary:
    """Medians over the rounds of one row at one number of sessions."""

    row: str
    sessions: int
    steps_per_s: float
    lowest_steps_per_s: float
    highest_steps_per_s: float
    p50_us: float
    p99_us: float
    server_cpu_us: float
    client_cpu_us: float
    times_baseline: float | None
    opens_per_s: float
    opens_times_baseline: float | None
    kib_per_session: float
    server_threads: float


@dataclass
class Measurement:
    """Everything that one run found."""

    samples: list[Sample]
    versions: dict[str, dict[str, str]]

    @property
    def disturbed(self) -> int:
        """How many windows lost more than a tenth of a core to others."""
        return sum(sample.disturbance > _QUIET_CORES for sample in self.samples)


def measure(plan: Plan, cores: Cores, progress: Callable[[str], None]) -> Measurement:
    """Run the whole plan; `progress` is told what is measured next."""
    found = Measurement([], {})
    # Before the first round: a release that is installed now must not slow a measured row.
    for row in plan.rows:
        for part in (row.server, row.client):
            part.command()
    for number in range(plan.rounds):
        start = number * len(plan.rows) // plan.rounds
        for row in plan.rows[start:] + plan.rows[:start]:
            progress(f"round {number + 1} of {plan.rounds}: {row.name}")
            with started(row, plan, cores) as pair:
                found.versions[row.name] = pair.versions
                found.samples += [
                    pair.sample(sessions, number)
                    for sessions in plan.sessions
                    if row.takes(sessions)
                ]
    return found


class Pair:
    """The two programs of a row, running; made by `started`."""

    def __init__(self, row: Row, plan: Plan, server: Program, client: Program) -> None:
        self._row = row
        self._plan = plan
        self._server = server
        self._client = client

    @property
    def versions(self) -> dict[str, str]:
        """What is installed for each side."""
        return {
            f"{side} {package}": version
            for side, program in (("server", self._server), ("client", self._client))
            for package, version in program.announcement["versions"].items()
        }

    def sample(self, sessions: int, number: int) -> Sample:
        """Open so many sessions, and measure a window of round `number`."""
        return _sample(self._row.name, sessions, number, self.ask(sessions))

    def ask(self, sessions: int) -> dict[str, float]:
        """Open so many sessions, and return what the client measured."""
        window_s = self._plan.window_for_s(sessions)
        request = {
            "url": self._server.announcement["url"],
            "server_pid": self._server.pid,
            "sessions": sessions,
            "warmup_s": self._plan.warmup_s,
            "window_s": window_s,
        }
        return self._client.ask(request, self._plan.warmup_s + window_s + _OPENING_S)


@contextmanager
def started(row: Row, plan: Plan, cores: Cores) -> Iterator[Pair]:
    """Run a row's programs meanwhile; they have played one window that is thrown away."""
    with (
        running(row.server.command(), core=cores.server, tree=row.server.tree) as server,
        running(row.client.command(), core=cores.client, tree=row.client.tree) as client,
    ):
        pair = Pair(row, plan, server, client)
        # What is imported, compiled or cached at first use belongs to no row.
        pair.ask(min(plan.sessions))
        yield pair


def _sample(row: str, sessions: int, number: int, answer: dict[str, float]) -> Sample:
    steps, own_s = answer["steps"], answer["server_cpu_s"] + answer["client_cpu_s"]
    return Sample(
        row=row,
        sessions=sessions,
        round=number,
        steps_per_s=steps / answer["elapsed_s"],
        p50_us=answer["p50_us"],
        p99_us=answer["p99_us"],
        server_cpu_us=answer["server_cpu_s"] / steps * 1e6,
        client_cpu_us=answer["client_cpu_s"] / steps * 1e6,
        timed_steps=int(answer["timed"]),
        disturbance=max(0.0, answer["machine_cpu_s"] - own_s) / answer["elapsed_s"],
        opens_per_s=sessions / answer["opening_s"],
        kib_per_session=answer["sessions_kib"] / sessions,
        server_threads=int(answer["server_threads"]),
    )


def summarize(samples: Sequence[Sample], baseline: str) -> list[Summary]:
    """Return medians, in the order in which rows and session counts first appear."""
    groups: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.row, sample.sessions), []).append(sample)
    rates = {key: median(s.steps_per_s for s in group) for key, group in groups.items()}
    opens = {key: median(s.opens_per_s for s in group) for key, group in groups.items()}
    return [
        Summary(
            row=row,
            sessions=sessions,
            steps_per_s=rates[row, sessions],
            lowest_steps_per_s=min(s.steps_per_s for s in group),
            highest_steps_per_s=max(s.steps_per_s for s in group),
            p50_us=median(s.p50_us for s in group),
            p99_us=median(s.p99_us for s in group),
            server_cpu_us=median(s.server_cpu_us for s in group),
            client_cpu_us=median(s.client_cpu_us for s in group),
            times_baseline=_times(rates, row, baseline, sessions),
            opens_per_s=opens[row, sessions],
            opens_times_baseline=_times(opens, row, baseline, sessions),
            kib_per_session=median(s.kib_per_session for s in group),
            server_threads=median(s.server_threads for s in group),
        )
        for (row, sessions), group in groups.items()
    ]


def _times(
    values: dict[tuple[str, int], float], row: str, baseline: str, sessions: int
) -> float | None:
    reference = values.get((baseline, sessions))
    return values[row, sessions] / reference if reference else None
