"""Prints the results of a collection as a table on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from openenv.rollout.collection import Collection


def show(collection: Collection) -> None:
    """Print the table, and the path of the recording."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("episodes", f"{collection.episodes:,}"),
        *([("  resumed", f"{collection.resumed:,}")] if collection.resumed else ()),
        ("steps", f"{collection.steps:,}"),
        ("seconds", f"{collection.duration_s:,.2f}"),
        ("episodes/s", f"{collection.episodes_per_s:,.0f}"),
        ("steps/s", f"{collection.steps_per_s:,.0f}"),
        ("mean return", f"{collection.mean_return:,.3f}"),
        ("failed", f"{collection.failures:,}"),
        *((f"  {code}", f"{count:,}") for code, count in sorted(collection.causes.items())),
    ):
        table.add_row(name, value)
    console = Console()
    console.print(table)
    if collection.path is not None:
        console.print(
            f"written to {collection.path}", soft_wrap=True, markup=False, highlight=False
        )
