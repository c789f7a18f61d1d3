"""What a benchmark asks, as data: which rows, at how many sessions, shown in which columns.

Owns the form of a question; each has a file of its own, which is its command. asking.py runs it,
measuring.py measures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measuring import Summary
from benchmarks.rows import Row


@dataclass(frozen=True)
class Column:
    """One column of a table: its head, and what it says of a row."""

    head: str
    cell: Callable[[Summary], str]


@dataclass(frozen=True)
class Question:
    """One benchmark."""

    name: str
    description: str
    baseline: Row
    "What the ratios of all other rows are to."
    rows: tuple[Row, ...]
    quick_rows: tuple[Row, ...]
    sessions: tuple[int, ...]
    quick_sessions: tuple[int, ...]
    columns: tuple[Column, ...]
    more_rows: tuple[Row, ...] = ()
    "Measured when asked for by name."
    compared: Question | None = None
    "What is asked of this tree and of another commit, in turns."
    window_s: float = 1.0
    quick_window_s: float = 0.3
    quick_rounds: int = 3


def ratio(value: float | None) -> str:
    """Return how many times the baseline something is."""
    if value is None:
        return "-"
    return f"{value:.1f}x" if value < 100 else f"{value:,.0f}x"


RATE_COLUMNS = (
    Column("steps/s", lambda one: f"{one.steps_per_s:,.0f}"),
    Column("ratio", lambda one: ratio(one.times_baseline)),
    Column("p50 us", lambda one: f"{one.p50_us:,.0f}"),
    Column("p99 us", lambda one: f"{one.p99_us:,.0f}"),
    Column("server us/step", lambda one: f"{one.server_cpu_us:.2f}"),
    Column("client us/step", lambda one: f"{one.client_cpu_us:.2f}"),
)
"How fast steps are."

OPENING_COLUMNS = (
    Column("open+reset/s", lambda one: f"{one.opens_per_s:,.0f}"),
    Column("ratio", lambda one: ratio(one.opens_times_baseline)),
    Column("KiB/session", lambda one: f"{one.kib_per_session:.2f}"),
    Column("server threads", lambda one: f"{one.server_threads:,.0f}"),
)
"How fast sessions are opened, and what the server needs to hold them."
