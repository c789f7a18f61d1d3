"""Collection: what a call of collect comes to; its episodes lie in memory or in a recording."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from openenv.recording.format import Episode, read

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Collection:
    """What a run has done. Iterate over it for the episodes."""

    episodes: int
    steps: int
    failures: int
    causes: dict[str, int]
    "Error code -> how many episodes failed of it."
    mean_return: float
    "Over the episodes that did not fail; NaN if there is none."
    duration_s: float
    path: Path | None = None
    "The recording; None if the episodes were kept in memory."
    kept: list[Episode] = field(default_factory=list, repr=False)
    resumed: int = 0
    "How many of the episodes an earlier run had recorded."
    resumed_steps: int = 0

    @property
    def episodes_per_s(self) -> float:
        """How many episodes this run ended per second."""
        return (self.episodes - self.resumed) / self.duration_s

    @property
    def steps_per_s(self) -> float:
        """How many steps this run made per second."""
        return (self.steps - self.resumed_steps) / self.duration_s

    def __iter__(self) -> Iterator[Episode]:
        """Yield the episodes: by number from memory, in the order of their ends from the file."""
        return iter(self.kept) if self.path is None else read(self.path)
