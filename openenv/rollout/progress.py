"""How far a run is: the tally that it keeps, and a bar on the terminal that shows it."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

REFRESH_S = 0.2


@dataclass
class Tally:
    """What a run has done so far."""

    episodes: int = 0
    "Finished ones, failed or not."
    steps: int = 0
    resumed_episodes: int = 0
    "Those of an earlier run, which are among the episodes."
    resumed_steps: int = 0
    total_return: float = 0.0
    "Of the episodes that did not fail."
    causes: Counter[str] = field(default_factory=Counter)
    "Error code -> how many episodes failed of it."
    started_at_s: float = field(default_factory=time.perf_counter)
    stopped_at_s: float | None = None

    def start(self) -> None:
        """Begin to count time."""
        self.started_at_s = time.perf_counter()

    def stop(self) -> None:
        """Stop counting time."""
        self.stopped_at_s = time.perf_counter()

    @property
    def failures(self) -> int:
        """How many episodes failed."""
        return self.causes.total()

    @property
    def mean_return(self) -> float:
        """The mean over the episodes that did not fail; NaN if there is none."""
        succeeded = self.episodes - self.failures
        return self.total_return / succeeded if succeeded else math.nan

    @property
    def duration_s(self) -> float:
        """How long the run has taken."""
        return (self.stopped_at_s or time.perf_counter()) - self.started_at_s


@contextmanager
def progress_bar(wanted: bool | None, tally: Tally, episodes: int) -> Iterator[None]:
    """Show a bar on stderr meanwhile; None shows it on a terminal only.

    Needs a running event loop. Raises ConfigurationError if it is wanted and rich is missing.
    """
    has_rich = find_spec("rich") is not None
    if wanted and not has_rich:
        raise ConfigurationError("a progress bar needs rich: pip install 'openenv[cli]'")
    if wanted is False or not has_rich or not (wanted or sys.stderr.isatty()):
        yield
        return
    bar = _Bar(tally, episodes)
    try:
        yield
    finally:
        bar.stop()


class _Bar:
    """Redraws itself from time to time, so that a step pays nothing for being shown."""

    def __init__(self, tally: Tally, episodes: int) -> None:
        # rich is an extra, and slow to import: only who sees the bar pays for it.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._tally = tally
        self._progress = Progress(
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._task: Any = self._progress.add_task("episodes", total=episodes, rates="")
        self._progress.start()
        self._tick()

    def stop(self) -> None:
        """Draw the bar a last time."""
        self._timer.cancel()
        self._draw()
        self._progress.stop()

    def _tick(self) -> None:
        self._draw()
        self._timer = asyncio.get_running_loop().call_later(REFRESH_S, self._tick)

    def _draw(self) -> None:
        tally, duration_s = self._tally, self._tally.duration_s
        # All of it fits into 80 columns.
        rates = (
            f"{(tally.episodes - tally.resumed_episodes) / duration_s:,.0f} episodes/s "
            f"{(tally.steps - tally.resumed_steps) / duration_s:,.0f} steps/s "
            f"return {tally.mean_return:.3g} failed {tally.failures}"
        )
        self._progress.update(self._task, completed=tally.episodes, rates=rates, refresh=True)
