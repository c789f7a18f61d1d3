"""Measures this tree and another commit's in turns, and compares them row by row.

Owns the other commit's checkout, the order of the turns, and the Markdown table. Each side's
server and client run from their own tree; how a window is measured is measuring.py's part.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.machine import commit_of
from benchmarks.measuring import Measurement, Summary, started, summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.measuring import Cores, Plan, Sample

CHECKOUT = Path(__file__).resolve().parents[1]
BEFORE, AFTER = "before", "after"


class RevisionError(RuntimeError):
    """A revision cannot be checked out, or is not what its programs import."""


@dataclass(frozen=True)
class Change:
    """One row at one number of sessions, before and after: medians, and the median of ratios."""

    row: str
    sessions: int
    before: Summary
    after: Summary
    ratio: float


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Yield a checkout of a revision in a temporary folder. Raises RevisionError."""
    with tempfile.TemporaryDirectory(prefix="openenv-against-") as folder:
        tree = Path(folder).resolve() / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), revision)
        try:
            _check_imports(tree)
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def compare(plan: Plan, tree: Path, cores: Cores, progress: Callable[[str], None]) -> Measurement:
    """Measure each row of the plan in both trees; `tree` is the one before.

    In a round both sides of a row live at the same time, and their windows take turns, so that a
    slow second of the machine falls on both. Which side is first changes with every window.
    """
    found = Measurement([], {})
    for number in range(plan.rounds):
        for row in plan.rows:
            progress(f"round {number + 1} of {plan.rounds}: {row.name}")
            before = row.of_tree(tree, BEFORE)
            after = row.of_tree(CHECKOUT, AFTER)
            with (
                started(before, plan, cores) as first,
                started(after, plan, cores) as second,
            ):
                found.versions[before.name] = first.versions
                found.versions[after.name] = second.versions
                pairs = [first, second] if number % 2 == 0 else [second, first]
                for sessions in filter(row.takes, plan.sessions):
                    found.samples += [pair.sample(sessions, number) for pair in pairs]
                    pairs.reverse()
    return found


def changes(samples: Sequence[Sample]) -> list[Change]:
    """Pair the two sides of every row. Ratios are of windows that were neighbours."""
    rates = {(s.row, s.sessions, s.round): s.steps_per_s for s in samples}
    summaries = {(s.row, s.sessions): s for s in summarize(samples, baseline="")}
    found = []
    for (name, sessions), before in summaries.items():
        label, _, row = name.partition(", ")
        if label == BEFORE:
            after_name = f"{AFTER}, {row}"
            ratios = [
                rates[after_name, sessions, round_] / rate
                for (row_name, number, round_), rate in rates.items()
                if (row_name, number) == (name, sessions)
            ]
            after = summaries[after_name, sessions]
            found.append(Change(row, sessions, before, after, median(ratios)))
    return found


def markdown(found: Sequence[Change]) -> str:
    """Return the table: steps per second and CPU time per step of each side."""
    lines = [
        "| sessions | row | before, steps/s | after, steps/s | ratio "
        "| server us/step | client us/step |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for change in sorted(found, key=lambda change: change.sessions):
        before, after = change.before, change.after
        cells = (
            f"{change.sessions:,}",
            change.row,
            f"{before.steps_per_s:,.0f}",
            f"{after.steps_per_s:,.0f}",
            f"{change.ratio * 100:.0f} %",
            f"{before.server_cpu_us:.2f} to {after.server_cpu_us:.2f}",
            f"{before.client_cpu_us:.2f} to {after.client_cpu_us:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def caption(tree: Path, plan: Plan, cores: Cores, processor: object) -> str:
    """Return the line below the table: what was compared, where, and how."""
    return (
        f"{processor}, server on core {cores.server}, client on core {cores.client}; before: "
        f"{commit_of(tree)}, after: {commit_of(CHECKOUT)}; medians of {plan.rounds} pairs of "
        f"windows of {plan.window_s:g} s."
    )


def _git(*arguments: str) -> None:
    outcome = subprocess.run(
        ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if outcome.returncode:
        raise RevisionError(outcome.stderr.strip())


def _check_imports(tree: Path) -> None:
    """Raise RevisionError unless Python, started in this tree, imports openenv from it."""
    outcome = subprocess.run(
        [sys.executable, "-c", "import openenv; print(openenv.__file__)"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    if not outcome.stdout.startswith(str(tree)):
        raise RevisionError(f"{tree} does not import its own openenv:\n{outcome.stderr}")
