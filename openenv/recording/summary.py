"""RecordingSummary: sums up a recording in a few numbers per episode, however long that is.

Does not decode whole episodes: it skips observations and actions. Does not know how the summary is
shown (report.py).
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from openenv.errors import PayloadError
from openenv.recording.format import VERSION, Cause, Ended
from openenv.recording.lines import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

BINS_PER_OCTAVE = 64
"A bin of times is 1.1 % wide, so that a percentile is right to 0.6 %."
SHORTEST_S, LONGEST_S = 1e-7, 1e7
EXTREMES = 5
"How many episodes of each kind are listed singly."


class Times:
    """A histogram of durations, in bins whose width grows with the duration."""

    def __init__(self) -> None:
        self.bins: Counter[int] = Counter()
        self.count = 0
        self.longest_s = 0.0

    def add(self, took_s: float) -> None:
        """Count one time."""
        took_s = min(max(took_s, SHORTEST_S), LONGEST_S)
        self.bins[math.floor(math.log2(took_s) * BINS_PER_OCTAVE)] += 1
        self.count += 1
        self.longest_s = max(self.longest_s, took_s)

    def quantile_s(self, share: float) -> float:
        """Return the time that this share did not exceed; NaN if there is none."""
        left = share * self.count
        for index in sorted(self.bins):
            left -= self.bins[index]
            if left <= 0:
                return min(float(2 ** ((index + 0.5) / BINS_PER_OCTAVE)), self.longest_s)
        return math.nan


class Failures(NamedTuple):
    """The number of episodes that failed in the same way, and the first of them."""

    episodes: int
    first: int
    seed: int | None
    type: str
    message: str


class Notable(NamedTuple):
    """An episode that stands out by a value; sorts by it."""

    value: float
    episode: int
    seed: int
    "-1 if there was none."
    return_: float
    length: int
    ended: str


class Extremes:
    """Keeps the few episodes with the largest values."""

    def __init__(self) -> None:
        self._heap: list[Notable] = []

    def add(self, notable: Notable) -> None:
        """Keep the episode if its value is one of the largest so far."""
        if math.isnan(notable.value):
            return
        if len(self._heap) < EXTREMES:
            heapq.heappush(self._heap, notable)
        else:
            heapq.heappushpop(self._heap, notable)

    def __iter__(self) -> Iterator[Notable]:
        """Yield the episodes, the largest value first."""
        return iter(sorted(self._heap, reverse=True))


@dataclass
class RecordingSummary:
    """The sum of a recording. The arrays have one entry per episode, in the order of `numbers`."""

    path: Path
    steps: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    causes: dict[str, Failures] = field(default_factory=dict)
    numbers: array[int] = field(default_factory=lambda: array("q"))
    "The episodes' numbers in the run; ascending after `sort`."
    returns: array[float] = field(default_factory=lambda: array("d"))
    "The episodes' returns; NaN for an episode that failed."
    lengths: array[float] = field(default_factory=lambda: array("d"))
    mean_latencies_s: array[float] = field(default_factory=lambda: array("d"))
    "The mean latency of an episode's steps; NaN if none was measured."
    mean_policy_s: array[float] = field(default_factory=lambda: array("d"))
    "The mean duration of the policy's calls in an episode."
    step_times: Times = field(default_factory=Times)
    policy_times: Times = field(default_factory=Times)
    reset_times: Times = field(default_factory=Times)
    lowest: Extremes = field(default_factory=Extremes)
    highest: Extremes = field(default_factory=Extremes)
    longest: Extremes = field(default_factory=Extremes)
    slowest: Extremes = field(default_factory=Extremes)

    @property
    def episodes(self) -> int:
        """How many episodes there are."""
        return len(self.lengths)

    @property
    def failures(self) -> int:
        """How many episodes failed."""
        return self.ended["failed"]

    def add(self, line: _Line) -> None:
        """Add an episode."""
        return_ = float(line.return_)
        self.steps += line.length
        self.ended[line.ended] += 1
        self.numbers.append(line.episode)
        self.lengths.append(line.length)
        self.returns.append(math.nan if line.error is not None else return_)
        self._add_times(line)
        seed = -1 if line.seed is None else line.seed
        about = (line.episode, seed, return_, line.length, line.ended)
        self.longest.add(Notable(line.length, *about))
        self.slowest.add(Notable(self.mean_latencies_s[-1], *about))
        if line.error is None:
            self.lowest.add(Notable(-return_, *about))
            self.highest.add(Notable(return_, *about))
            return
        known = self.causes.get(line.error.code)
        self.causes[line.error.code] = (
            Failures(1, line.episode, line.seed, line.error.type, line.error.message)
            if known is None
            else known._replace(episodes=known.episodes + 1)
        )

    def _add_times(self, line: _Line) -> None:
        latencies_s = [turn.latency_s for turn in line.turns if turn.latency_s is not None]
        policies_s = [turn.policy_s for turn in line.turns if turn.policy_s is not None]
        for took_s in latencies_s:
            self.step_times.add(took_s)
        for took_s in policies_s:
            self.policy_times.add(took_s)
        if line.reset_latency_s is not None:
            self.reset_times.add(line.reset_latency_s)
        self.mean_latencies_s.append(fmean(latencies_s) if latencies_s else math.nan)
        self.mean_policy_s.append(fmean(policies_s) if policies_s else math.nan)

    def sort(self) -> None:
        """Sort the episodes, which a recording has in the order of their ends, by their numbers.

        Long episodes end last, so in the order of ends every run would seem to change over time.
        """
        order = sorted(range(self.episodes), key=self.numbers.__getitem__)
        for name in ("numbers", "returns", "lengths", "mean_latencies_s", "mean_policy_s"):
            values = getattr(self, name)
            setattr(self, name, array(values.typecode, (values[index] for index in order)))


def summarize(path: str | PathLike[str]) -> RecordingSummary:
    """Return the summary of a recording. Raises what `openenv.recording.read` raises."""
    summary = RecordingSummary(Path(path))
    for number, text in enumerate(read_lines(path), 1):
        try:
            line = _decoder.decode(text)
            if line.version != VERSION:
                raise ValueError(f"it has the version {line.version}, and {VERSION} is read")
            summary.add(line)
        except (ValueError, OverflowError) as error:
            raise PayloadError(f"{path}:{number} is no recorded episode: {error}") from error
    summary.sort()
    return summary


class _Turn(msgspec.Struct, gc=False):
    latency_s: float | None = None
    policy_s: float | None = None


class _Line(msgspec.Struct):
    """The fields of an Episode that the summary needs."""

    version: int
    episode: int
    return_: float | str = msgspec.field(name="return")
    length: int
    ended: Ended
    turns: list[_Turn]
    seed: int | None = None
    error: Cause | None = None
    reset_latency_s: float | None = None


_decoder = msgspec.json.Decoder(_Line)
