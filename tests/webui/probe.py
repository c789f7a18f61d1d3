"""An environment that does what a test asks of it, served to openenv.js and to browsers."""

import math
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from openenv.environment import Environment
from openenv.models import State
from tests.patience import patient


@dataclass
class Probed:
    total: int = 0
    seen: Any = None
    reward: float | None = None
    done: bool = False
    truncated: bool = False
    metadata: dict[str, Any] | None = None


class Probe(Environment[dict[str, Any], Probed, State]):
    """Adds up, and tells in `seen` what it was given."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    doors: ClassVar[dict[str, threading.Event]] = defaultdict(threading.Event)

    def __init__(self) -> None:
        self.total = 0

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, begin: Any = None
    ) -> Probed:
        self.total = seed or 0
        return Probed(self.total, seen=begin)

    def step(self, action: dict[str, Any]) -> Iterator[Probed]:
        for partial in action.get("partials", ()):
            yield Probed(self.total, seen=partial)
        if "open" in action:
            self.doors[action["open"]].set()
        if "wait" in action:
            # The end of the test's patience, not a time that anything is measured by.
            self.doors[action["wait"]].wait(patient(30))
        if "fail" in action:
            raise ValueError(action["fail"])
        self.total += action.get("add", 0)
        yield Probed(
            self.total,
            seen=action.get("echo"),
            reward=math.nan if action.get("nan") else float(action.get("add", 0)),
            done=action.get("done", False),
            truncated=action.get("truncated", False),
            metadata=action.get("metadata"),
        )
