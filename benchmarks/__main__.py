"""Asks all questions in short and says which targets are met: `python -m benchmarks`.

Writes the table, the plot and everything that was measured into benchmarks/results/. With
`--publish` the table and the plot go into the documents, too.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks import imports, observations, placement, sessions, throughput, vectors
from benchmarks.asking import CHECKOUT, quick_plan
from benchmarks.machine import facts
from benchmarks.measuring import Cores, measure, summarize
from benchmarks.peers.installation import PeerInstallError
from benchmarks.peers.program import ProgramError
from benchmarks.plot import draw
from benchmarks.report import RESULTS, put_between_marks, table
from benchmarks.targets import TARGETS, Findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.questions import Question

QUESTIONS = (
    throughput.QUESTION,
    sessions.QUESTION,
    observations.QUESTION,
    vectors.QUESTION,
)
PAGE = CHECKOUT / "docs/topics/performance.md"
PLOT = CHECKOUT / "docs/topics/throughput.svg"


def main() -> int:
    """Measure, print, write; return the exit code."""
    options = _parser().parse_args()
    console, told = Console(width=120), Console(stderr=True)
    machine, cores = facts(), Cores.available()
    record: dict[str, Any] = {"machine": machine}
    try:
        with told.status("starting") as status:
            findings = _find(options.rounds, cores, record, status.update)
    except (PeerInstallError, ProgramError) as error:
        told.print(str(error), style="red", markup=False)
        return 1
    for question in QUESTIONS:
        names = [row.name for row in question.quick_rows]
        summaries = findings.summaries[question.name]
        console.print(table(summaries, question.description, names, question.columns))
    console.print(_shown(findings))
    caption = _caption(machine, cores, options.rounds, record)
    console.print(caption, soft_wrap=True)
    RESULTS.mkdir(exist_ok=True)
    stem = f"all-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    plot = RESULTS / f"{stem}.svg"
    rows = [row.name for row in throughput.QUESTION.quick_rows]
    draw(findings.summaries["throughput"], rows, caption, plot)
    path = RESULTS / f"{stem}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    console.print(f"written to {path} and {plot}", soft_wrap=True)
    if options.publish:
        put_between_marks(PAGE, [*_markdown(findings), "", caption])
        shutil.copy(plot, PLOT)
    return 0


def _find(
    rounds: int, cores: Cores, record: dict[str, Any], progress: Callable[[str], None]
) -> Findings:
    findings = Findings()
    for question in QUESTIONS:
        findings.summaries[question.name] = _ask(question, rounds, cores, record, progress)
    progress("steps that sleep")
    asleep = placement.LOADS[-1]
    served = [placement.measure(asleep, ("thread",), pin=True) for _ in range(rounds)]
    bare = [placement.measure_bare_threads(pin=True) for _ in range(rounds)]
    ideal = asleep.ideal(64, 1) or 1
    findings.sleeping_share = median(one.steps_per_s for one in served) / ideal
    findings.bare_threads_share = median(one.steps_per_s for one in bare) / ideal
    progress("imports")
    findings.import_cpu_s = imports.ours()
    record["sleeping_share"] = findings.sleeping_share
    record["bare_threads_share"] = findings.bare_threads_share
    record["import_cpu_s"] = findings.import_cpu_s
    return findings


def _ask(
    question: Question,
    rounds: int,
    cores: Cores,
    record: dict[str, Any],
    progress: Callable[[str], None],
) -> Any:
    plan = replace(quick_plan(question), rounds=rounds)
    measurement = measure(plan, cores, lambda what: progress(f"{question.name}, {what}"))
    summaries = summarize(measurement.samples, question.baseline.name)
    record[question.name] = {
        "versions": measurement.versions,
        "disturbed": measurement.disturbed,
        "summaries": [asdict(summary) for summary in summaries],
        "samples": [asdict(sample) for sample in measurement.samples],
    }
    return summaries


def _shown(findings: Findings) -> Table:
    shown = Table(title="targets", title_justify="left")
    shown.add_column("what", no_wrap=True)
    for name in ("goal", "measured"):
        shown.add_column(name, justify="right")
    shown.add_column("")
    for cells in _cells(findings):
        shown.add_row(*cells)
    return shown


def _markdown(findings: Findings) -> list[str]:
    head = ["| what | goal | measured | |", "|---|---:|---:|---|"]
    return [*head, *(f"| {' | '.join(cells)} |" for cells in _cells(findings))]


def _cells(findings: Findings) -> list[tuple[str, str, str, str]]:
    cells = []
    for target in TARGETS:
        goal = f"{'>=' if target.is_floor else '<='} {target.shown(target.goal)}"
        value = target.value(findings)
        if value is None:
            cells.append((target.name, goal, "-", "not measured"))
        else:
            met = "met" if target.is_met(value) else "not met"
            cells.append((target.name, goal, target.shown(value), met))
    return cells


def _caption(machine: dict[str, Any], cores: Cores, rounds: int, record: dict[str, Any]) -> str:
    disturbed = sum(record[question.name]["disturbed"] for question in QUESTIONS)
    windows = sum(len(record[question.name]["samples"]) for question in QUESTIONS)
    processor, commit = (machine.get(name, "unknown") for name in ("processor", "commit"))
    return (
        f"{processor}, server on core {cores.server}, client on core {cores.client}; medians of "
        f"{rounds} windows; commit {commit}, {datetime.now(UTC):%Y-%m-%d}; {disturbed} of "
        f"{windows} windows disturbed by others."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how many windows of each row")
    parser.add_argument("--publish", action="store_true", help="put table and plot into docs/")
    return parser


if __name__ == "__main__":
    sys.exit(main())
