"""What the numbers are meant to be: each target, its goal, and where it is read from.

Owns the goals and the arithmetic; measuring is done elsewhere. Ratios are of one run, so that they
mean the same on any machine; times and sizes are this machine's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import observations, rows, vectors
from benchmarks.measuring import Summary

if TYPE_CHECKING:
    from benchmarks.rows import Row


@dataclass
class Findings:
    """What a run has found, by question."""

    summaries: dict[str, list[Summary]] = field(default_factory=dict)
    import_cpu_s: float | None = None
    sleeping_share: float | None = None
    "Of the ideal rate, with 64 sessions whose steps sleep."
    bare_threads_share: float | None = None
    "The same of 64 threads that sleep, without a server."

    def of(self, question: str, row: Row, sessions: int) -> Summary:
        """Return a row's medians. Raises LookupError if it was not measured."""
        for summary in self.summaries.get(question, ()):
            if (summary.row, summary.sessions) == (row.name, sessions):
                return summary
        raise LookupError(f"{row.name} was not measured at {sessions} sessions")


@dataclass(frozen=True)
class Target:
    """One goal."""

    name: str
    goal: float
    read: Callable[[Findings], float | None]
    is_floor: bool = True
    "Whether the goal is the least that the value may be; else the most."
    unit: str = "x"

    def value(self, findings: Findings) -> float | None:
        """Return what was found; None if it was not measured."""
        try:
            return self.read(findings)
        except (LookupError, TypeError):
            return None

    def is_met(self, value: float) -> bool:
        """Whether this value is as good as the goal."""
        return value >= self.goal if self.is_floor else value <= self.goal

    def shown(self, value: float) -> str:
        """Return a value of this target with its unit."""
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        return f"{value:,.{digits}f}{self.unit}"


def _rate(row: Row, sessions: int) -> Callable[[Findings], float | None]:
    return lambda found: found.of("throughput", row, sessions).times_baseline


def _held(row: Row) -> Callable[[Findings], Summary]:
    return lambda found: found.of("sessions", row, 1000)


def _latency(found: Findings) -> float:
    ours = found.of("throughput", rows.MULTIPLEXED, 1)
    return ours.p50_us / found.of("throughput", rows.PLAIN_TCP, 1).p50_us


def _tail(found: Findings) -> float:
    theirs = found.of("throughput", rows.BASELINE, 256)
    return theirs.p99_us / found.of("throughput", rows.MULTIPLEXED, 256).p99_us


def _ten_thousand(found: Findings) -> float:
    many = found.of("throughput", rows.MULTIPLEXED, 10_000).steps_per_s
    return many / found.of("throughput", rows.MULTIPLEXED, 1024).steps_per_s * 100


def _cart_pole(other: Row, factor: float) -> Callable[[Findings], float]:
    def read(found: Findings) -> float:
        ours = found.of("vectors", vectors.OURS, 64).steps_per_s
        return ours / found.of("vectors", other, 64).steps_per_s * factor

    return read


LEGACY_GOALS = {64: 4.0, 256: 6.0, 1024: 9.0}
MULTIPLEXED_GOALS = {64: 25.0, 256: 50.0, 1024: 80.0}

TARGETS = (
    *(
        Target(f"steps/s, one socket each, legacy, {number:,}", goal, _rate(rows.LEGACY, number))
        for number, goal in LEGACY_GOALS.items()
    ),
    *(
        Target(f"steps/s, multiplexed, {number:,}", goal, _rate(rows.MULTIPLEXED, number))
        for number, goal in MULTIPLEXED_GOALS.items()
    ),
    Target("steps/s, step_many, 256", 150, _rate(rows.STEP_MANY, 256)),
    Target(
        "server CPU per step, step_many, 256",
        1.5,
        lambda found: found.of("throughput", rows.STEP_MANY, 256).server_cpu_us,
        is_floor=False,
        unit=" us",
    ),
    Target("p50 of one session, to plain TCP", 1.4, _latency, is_floor=False),
    Target("p99, multiplexed, 256: how much less", 150, _tail),
    Target("rate of 10,000 to that of 1,024", 75, _ten_thousand, unit=" %"),
    Target(
        "memory of an idle session, own socket",
        25,
        lambda found: _held(rows.SOCKETS)(found).kib_per_session,
        is_floor=False,
        unit=" KiB",
    ),
    Target(
        "memory of an idle session, multiplexed",
        1,
        lambda found: _held(rows.MULTIPLEXED)(found).kib_per_session,
        is_floor=False,
        unit=" KiB",
    ),
    Target(
        "open+reset/s, own socket",
        3,
        lambda found: _held(rows.SOCKETS)(found).opens_times_baseline,
    ),
    Target(
        "open+reset/s, multiplexed",
        100,
        lambda found: _held(rows.MULTIPLEXED)(found).opens_times_baseline,
    ),
    Target(
        "threads at 1,000 inline sessions",
        8,
        lambda found: _held(rows.MULTIPLEXED)(found).server_threads,
        is_floor=False,
        unit="",
    ),
    Target(
        "steps/s with images of 100,800 bytes",
        250,
        lambda found: found.of("observations", observations.MULTIPLEXED, 4).times_baseline,
    ),
    Target("64 steps that sleep 5 ms, of the ideal", 90, lambda found: _percent(found), unit=" %"),
    Target(
        "64 CartPoles, of Gymnasium's SyncVectorEnv",
        60,
        _cart_pole(vectors.SYNC, 100),
        unit=" %",
    ),
    Target("64 CartPoles, to Gymnasium's AsyncVectorEnv", 4, _cart_pole(vectors.ASYNC, 1)),
    Target(
        "CPU of importing the client",
        0.2,
        lambda found: found.import_cpu_s,
        is_floor=False,
        unit=" s",
    ),
)


def _percent(found: Findings) -> float | None:
    return None if found.sleeping_share is None else found.sleeping_share * 100
