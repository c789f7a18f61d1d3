"""Rubrics of the coding environment: tests, warnings and style, to be combined as one likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openenv.rubrics import Rubric

if TYPE_CHECKING:
    from ..models import CodeAction, CodeObservation


class TestsPass(Rubric):
    """The share of the episode's tests that pass; 0 without tests."""

    __test__ = False  # for pytest, which collects classes with such names

    def forward(self, action: CodeAction, observation: CodeObservation) -> float:
        """Return it."""
        return (observation.tests_passed or 0) / (observation.tests_total or 1)


class Runs(Rubric):
    """1 for a snippet that ends with exit code 0."""

    def forward(self, action: CodeAction, observation: CodeObservation) -> float:
        """Return it."""
        return float(observation.exit_code == 0)


class Lint(Rubric):
    """1 without warnings, a half with one, a third with two: needs `lint=True`."""

    def forward(self, action: CodeAction, observation: CodeObservation) -> float:
        """Return it."""
        return 1 / (1 + len(observation.warnings))


class Style(Rubric):
    """The share of lines that are short enough and have neither tabs nor spaces at their end."""

    def __init__(self, max_chars: int = 100) -> None:
        self.max_chars = max_chars

    def forward(self, action: CodeAction, observation: CodeObservation) -> float:
        """Return it; 1 for no code."""
        lines = action.code.splitlines()
        good = sum(
            len(line) <= self.max_chars and line == line.rstrip() and "\t" not in line
            for line in lines
        )
        return good / len(lines) if lines else 1.0
