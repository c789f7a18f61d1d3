"""How many steps per second does a server answer, and at which latency and CPU cost?

Owns the command line of this question. What is compared is rows.py's part, how it is measured
measuring.py's; README.md says how to read the table. Run `python -m benchmarks.throughput`.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.machine import facts
from benchmarks.measuring import Cores, Plan, measure, summarize
from benchmarks.peers.installation import PeerInstallError
from benchmarks.peers.program import ProgramError
from benchmarks.report import publish, table, write
from benchmarks.rows import BASELINE, MORE_ROWS, QUICK_ROWS, ROWS, Row

README = Path(__file__).parent.parent / "README.md"


def main() -> int:
    """Measure, print the table, write the file; return the exit code."""
    options = _parser().parse_args()
    plan = _plan(options)
    cores = Cores.available()
    machine = facts()
    console, told = Console(width=120), Console(stderr=True)
    try:
        with told.status("starting") as status:
            measurement = measure(plan, cores, status.update)
    except (PeerInstallError, ProgramError) as error:
        told.print(str(error), style="red", markup=False)
        return 1
    summaries = summarize(measurement.samples, BASELINE.name)
    path = write("throughput", plan, machine, measurement, summaries)
    title = (
        f"{machine.get('processor', 'unknown processor')}, server on core {cores.server}, "
        f"client on core {cores.client}; medians of {plan.rounds} windows of {plan.window_s:g} s; "
        f"ratio to {BASELINE.name}"
    )
    names = [row.name for row in plan.rows]
    console.print(table(summaries, title, names))
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows, short windows")
    parser.add_argument("--sessions", help="numbers of sessions, such as 1,64,256,1024")
    parser.add_argument("--rounds", type=int, help="how many windows of each row")
    parser.add_argument("--window", type=float, metavar="S", help="length of a window in seconds")
    known = "; ".join(row.name for row in (*ROWS, *MORE_ROWS))
    parser.add_argument(
        "--row", action="append", metavar="TEXT", help=f"only rows whose name has TEXT: {known}"
    )
    parser.add_argument(
        "--readme", action="store_true", help="put the table into README.md, in place of the old"
    )
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    rounds, window_s, warmup_s = (3, 0.3, 0.2) if options.quick else (5, 1.0, 0.4)
    try:
        sessions = tuple(int(number) for number in (options.sessions or "1,64,256").split(","))
    except ValueError:
        sys.exit(f"--sessions takes numbers separated by commas, not {options.sessions!r}")
    plan = Plan(
        rows=_rows(options.row, options.quick),
        sessions=sessions,
        rounds=options.rounds or rounds,
        window_s=options.window or window_s,
        warmup_s=warmup_s,
    )
    if min(*plan.sessions, plan.rounds) < 1 or plan.window_s <= 0:
        sys.exit("sessions, rounds and window must be positive")
    return plan


def _rows(wanted: list[str] | None, is_quick: bool) -> tuple[Row, ...]:
    if not wanted:
        return QUICK_ROWS if is_quick else ROWS
    rows = tuple(row for row in (*ROWS, *MORE_ROWS) if any(text in row.name for text in wanted))
    if not rows:
        sys.exit(f"no row has {' or '.join(wanted)} in its name; --help lists them")
    return rows


if __name__ == "__main__":
    sys.exit(main())
