"""Draws rates over numbers of sessions as an SVG file, for documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.measuring import Summary


def draw(summaries: Sequence[Summary], order: Iterable[str], caption: str, path: Path) -> None:
    """Write a plot of steps per second, a line per row, from the lowest to the highest window."""
    # Text as text, and the same file for the same numbers.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "openenv"})
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    for name in order:
        points = sorted((one.sessions, one) for one in summaries if one.row == name)
        sessions = [number for number, _ in points]
        axes.plot(sessions, [one.steps_per_s for _, one in points], marker="o", label=name)
        axes.fill_between(
            sessions,
            [one.lowest_steps_per_s for _, one in points],
            [one.highest_steps_per_s for _, one in points],
            alpha=0.2,
        )
    axes.set(xscale="log", yscale="log", xlabel="sessions", ylabel="steps per second")
    ticks = sorted({one.sessions for one in summaries})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.supxlabel(caption, fontsize="x-small")
    figure.savefig(path, metadata={"Date": None})
