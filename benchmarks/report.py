"""Shows a measurement: a table for people, a JSON file for programs.

Owns wording and rounding; everything it shows was measured elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from benchmarks.questions import ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.measuring import Measurement, Plan, Summary
    from benchmarks.questions import Column

RESULTS = Path(__file__).parent / "results"


def table(
    summaries: Sequence[Summary], title: str, order: Iterable[str], columns: Sequence[Column]
) -> Table:
    """Return one table, a section per number of sessions, rows in the given order."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("sessions", justify="right")
    shown.add_column("row", no_wrap=True)
    for column in columns:
        shown.add_column(column.head, justify="right")
    places = {name: place for place, name in enumerate(order)}
    for sessions in sorted({summary.sessions for summary in summaries}):
        section = [summary for summary in summaries if summary.sessions == sessions]
        for summary in sorted(section, key=lambda summary: places[summary.row]):
            cells = [column.cell(summary) for column in columns]
            shown.add_row(f"{sessions:,}", summary.row, *cells)
        shown.add_section()
    return shown


def publish(page: Path, summaries: Sequence[Summary], caption: str, order: Iterable[str]) -> None:
    """Put a table between the page's benchmark marks: a row per row, a column per number."""
    numbers = sorted({summary.sessions for summary in summaries})
    found = {(summary.row, summary.sessions): summary for summary in summaries}
    lines = [
        "| steps/s (times the published release) | "
        + " | ".join(f"{number:,} session{'s' * (number > 1)}" for number in numbers)
        + " |",
        "|---|" + "---:|" * len(numbers),
    ]
    for name in order:
        shown = [_rate(found.get((name, number))) for number in numbers]
        if any(shown):
            lines.append(f"| {name} | {' | '.join(shown)} |")
    put_between_marks(page, [*lines, "", caption])


def put_between_marks(page: Path, lines: Sequence[str], mark: str = "benchmark") -> None:
    """Replace what stands between a page's marks of this name."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, rest = page.read_text().split(begin)
    _, after = rest.split(end)
    page.write_text(before + "\n".join([begin, *lines, end]) + after)


def _rate(summary: Summary | None) -> str:
    if summary is None:
        return ""
    return f"{summary.steps_per_s:,.0f} ({ratio(summary.times_baseline)})"


def write(
    question: str,
    plan: Plan,
    machine: dict[str, Any],
    measurement: Measurement,
    summaries: Sequence[Summary],
) -> Path:
    """Write everything that was found into benchmarks/results/; return the file."""
    RESULTS.mkdir(exist_ok=True)
    moment = datetime.now(UTC)
    path = RESULTS / f"{question}-{moment:%Y%m%dT%H%M%SZ}.json"
    content = {
        "question": question,
        "measured_at": moment.isoformat(timespec="seconds"),
        "machine": machine,
        "plan": {**asdict(plan), "rows": [row.name for row in plan.rows]},
        "versions": measurement.versions,
        "summaries": [asdict(summary) for summary in summaries],
        "samples": [asdict(sample) for sample in measurement.samples],
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path
