"""BuildLog: turns the output of `docker build` into events: a step begins, prints, ends.

Understands the plain progress of BuildKit and the output of the legacy builder. Pure: lines in,
events out. docker_build.py runs the build.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

KEPT_LINES = 40

_BUILDKIT = re.compile(r"#(\d+) (.*)")
_TIMED = re.compile(r"\d+\.\d+ ?(.*)")
_FORMER_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_FORMER_NOISE = re.compile(
    r" ---> |Removing intermediate container|Successfully (built|tagged)|Sending build context"
)
_FAILURE_FRAME = "------"
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
"Colours are removed: the legacy builder prints in red what a step writes to stderr."


@dataclass(frozen=True)
class BuildEvent:
    """A step has begun, printed a line, or ended."""

    kind: Literal["begun", "output", "cached", "done", "failed"]
    step: str
    text: str = ""


@dataclass
class _Step:
    title: str
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    has_failed: bool = False


class BuildLog:
    """Reads a build's output line by line, and keeps the last lines of each step."""

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}
        self._loose: deque[str] = deque(maxlen=KEPT_LINES)
        "The last lines that belong to no step, such as errors in the Dockerfile."
        self._is_former = False

    def feed(self, line: str) -> list[BuildEvent]:
        """Read a line; return the events in it."""
        line = _COLOUR.sub("", line).rstrip()
        numbered = _BUILDKIT.fullmatch(line)
        if numbered:
            return self._feed_buildkit(numbered[1], numbered[2])
        begun = _FORMER_STEP.fullmatch(line)
        if begun:
            self._is_former = True
            return self._begin(begun[1], f"[{begun[1]}/{begun[2]}] {begun[3]}")
        if _FORMER_NOISE.match(line) or not line:
            return []
        if self._is_former:
            number = str(len(self._steps))
            return self._print(self._steps[number], line)
        self._loose.append(line)
        return []

    def failure(self) -> tuple[str | None, list[str]]:
        """Return the step that failed, if known, and the last lines of its output."""
        failed = [step for step in self._steps.values() if step.has_failed]
        if not failed and self._is_former:
            failed = list(self._steps.values())[-1:]
        if failed:
            return failed[0].title, list(failed[0].lines)
        return None, [line for line in self._loose if line != _FAILURE_FRAME]

    def _feed_buildkit(self, number: str, rest: str) -> list[BuildEvent]:
        step = self._steps.get(number)
        if step is None:
            return self._begin(number, rest)
        word, _, more = rest.partition(" ")
        if word == "DONE":
            return [BuildEvent("done", step.title, more)]
        if word == "CACHED":
            return [BuildEvent("cached", step.title)]
        if word == "ERROR:":
            step.has_failed = True
            step.lines.append(more)
            return [BuildEvent("failed", step.title, more)]
        if rest in (step.title, "...") or rest.startswith(("sha256:", "transferring ")):
            return []
        timed = _TIMED.fullmatch(rest)
        return self._print(step, timed[1] if timed else rest)

    def _begin(self, number: str, title: str) -> list[BuildEvent]:
        self._steps[number] = _Step(title)
        return [BuildEvent("begun", title)]

    def _print(self, step: _Step, line: str) -> list[BuildEvent]:
        step.lines.append(line)
        return [BuildEvent("output", step.title, line)]
