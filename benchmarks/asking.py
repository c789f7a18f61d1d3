"""The command line of a question: measures its rows, prints the table, writes the file.

Owns options and order of events. What is asked is questions.py's part, how it is measured
measuring.py's, how it is shown report.py's.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.comparing import RevisionError, caption, changes, checked_out, compare, markdown
from benchmarks.machine import facts
from benchmarks.measuring import Cores, Plan, measure, summarize
from benchmarks.peers.installation import PeerInstallError
from benchmarks.peers.program import ProgramError
from benchmarks.report import publish, table, write

if TYPE_CHECKING:
    from benchmarks.questions import Question
    from benchmarks.rows import Row

CHECKOUT = Path(__file__).parent.parent
README = CHECKOUT / "README.md"


def ask(question: Question) -> int:
    """Measure, print the table, write the file; return the exit code."""
    options = _parser(question).parse_args()
    if question.compared and options.against:
        return _ask_against(question.compared, options)
    plan = _plan(question, options)
    cores = Cores.available()
    machine = facts()
    console, told = Console(width=120), Console(stderr=True)
    try:
        with told.status("starting") as status:
            measurement = measure(plan, cores, status.update)
    except (PeerInstallError, ProgramError) as error:
        told.print(str(error), style="red", markup=False)
        return 1
    summaries = summarize(measurement.samples, question.baseline.name)
    path = write(question.name, plan, machine, measurement, summaries)
    title = (
        f"{machine.get('processor', 'unknown processor')}, server on core {cores.server}, "
        f"client on core {cores.client}; medians of {plan.rounds} windows of {plan.window_s:g} s; "
        f"ratio to {question.baseline.name}"
    )
    names = [row.name for row in plan.rows]
    console.print(table(summaries, title, names, question.columns))
    if options.readme:
        moment = f"{datetime.now(UTC):%Y-%m-%d}"
        disturbed = f"{measurement.disturbed} of {len(measurement.samples)} windows disturbed"
        publish(README, summaries, f"{title}. Measured on {moment}; {disturbed}.", names)
    console.print(f"written to {path}", soft_wrap=True)
    console.print(
        f"{measurement.disturbed} of {len(measurement.samples)} windows lost more than a tenth of "
        "a core to other processes, or to other guests of the same hardware."
    )
    if cores.server == cores.client:
        console.print("One core only: server and client shared it, so rates are not comparable.")
    return 0


def _ask_against(question: Question, options: argparse.Namespace) -> int:
    """Measure this tree and another commit's in turns, print both; return the exit code."""
    plan = _plan(question, options)
    cores = Cores.available()
    machine = facts()
    told = Console(stderr=True)
    try:
        with checked_out(options.against) as tree, told.status("starting") as status:
            below = caption(tree, plan, cores, machine.get("processor", "unknown processor"))
            measurement = compare(plan, tree, cores, status.update)
    except (RevisionError, ProgramError) as error:
        told.print(str(error), style="red", markup=False)
        return 1
    summaries = summarize(measurement.samples, question.baseline.name)
    path = write(question.name, plan, machine, measurement, summaries)
    disturbed = f"{measurement.disturbed} of {len(measurement.samples)} windows disturbed by others"
    print(f"{markdown(changes(measurement.samples))}\n\n{below} {disturbed}.")
    told.print(f"written to {path}", soft_wrap=True)
    return 0


def quick_plan(question: Question) -> Plan:
    """Return how to measure a question in little time."""
    return Plan(
        rows=question.quick_rows,
        sessions=question.quick_sessions,
        rounds=question.quick_rounds,
        window_s=question.quick_window_s,
        warmup_s=0.2,
    )


def _parser(question: Question) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"benchmarks.{question.name}", description=question.description
    )
    parser.add_argument("--quick", action="store_true", help="fewer rows, short windows")
    parser.add_argument("--sessions", help="numbers of sessions, such as 1,64,256,1024")
    parser.add_argument("--rounds", type=int, help="how many windows of each row")
    parser.add_argument("--window", type=float, metavar="S", help="length of a window in seconds")
    known = "; ".join(row.name for row in (*question.rows, *question.more_rows))
    parser.add_argument(
        "--row", action="append", metavar="TEXT", help=f"only rows whose name has TEXT: {known}"
    )
    parser.add_argument(
        "--readme", action="store_true", help="put the table into README.md, in place of the old"
    )
    if question.compared:
        compared = "; ".join(row.name for row in question.compared.rows)
        parser.add_argument(
            "--against",
            metavar="REVISION",
            help=f"compare this tree and another commit, measured in turns; rows: {compared}",
        )
    return parser


def _plan(question: Question, options: argparse.Namespace) -> Plan:
    quick = quick_plan(question)
    numbers = quick.sessions if options.quick else question.sessions
    try:
        sessions = tuple(map(int, options.sessions.split(","))) if options.sessions else numbers
    except ValueError:
        sys.exit(f"--sessions takes numbers separated by commas, not {options.sessions!r}")
    plan = Plan(
        rows=_rows(question, options.row, options.quick),
        sessions=sessions,
        rounds=options.rounds or (quick.rounds if options.quick else 5),
        window_s=options.window or (quick.window_s if options.quick else question.window_s),
        warmup_s=quick.warmup_s if options.quick else 0.4,
    )
    if min(*plan.sessions, plan.rounds) < 1 or plan.window_s <= 0:
        sys.exit("sessions, rounds and window must be positive")
    return plan


def _rows(question: Question, wanted: list[str] | None, is_quick: bool) -> tuple[Row, ...]:
    if not wanted:
        return question.quick_rows if is_quick else question.rows
    every = (*question.rows, *question.more_rows)
    rows = tuple(row for row in every if any(text in row.name for text in wanted))
    if not rows:
        sys.exit(f"no row has {' or '.join(wanted)} in its name; --help lists them")
    return rows
