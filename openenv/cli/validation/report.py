"""Criteria and their report: the JSON that existing tools read, and the card on a terminal.

Knows nothing of what is checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import indent
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

Status = Literal["passed", "failed", "skipped"]

_MARKS: dict[Status, tuple[str, str]] = {
    "passed": ("pass", "green"),
    "failed": ("FAIL", "bold red"),
    "skipped": ("skip", "dim"),
}


_INDENT = "      "


class CheckFailed(Exception):
    """What was looked at is not as it must be."""

    def __init__(self, details: str, *, expected: Any = None, actual: Any = None) -> None:
        super().__init__(details)
        self.expected = expected
        self.actual = actual


class NotApplicable(Exception):
    """There is nothing to look at, for a reason that is no fault."""


@dataclass(kw_only=True)
class Criterion:
    """One thing that was looked at."""

    id: str
    description: str
    status: Status
    required: bool = True
    details: str = ""
    expected: Any = None
    actual: Any = None

    @property
    def is_failure(self) -> bool:
        """Whether this alone fails the whole."""
        return self.required and self.status == "failed"

    def to_json(self) -> dict[str, Any]:
        """Return it as existing tools read it: `passed` is true or false; `status` is ours."""
        optional = {"details": self.details, "expected": self.expected, "actual": self.actual}
        return {
            "id": self.id,
            "description": self.description,
            "passed": self.status == "passed",
            "required": self.required and self.status != "skipped",
            "status": self.status,
            **{name: value for name, value in optional.items() if value not in (None, "")},
        }


@dataclass(kw_only=True)
class Report:
    """Everything that was looked at in one target."""

    target: str
    validation_type: Literal["local_environment", "running_environment"]
    environment: str | None = None
    standard_version: str = "local"
    standard_profile: str = "openenv-local"
    mode: str | None = None
    criteria: list[Criterion] = field(default_factory=list)
    deployment_modes: dict[str, bool] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether everything that is required is as it must be."""
        return not any(criterion.is_failure for criterion in self.criteria)

    @property
    def issues(self) -> list[str]:
        """What is wrong, in a line each, also what is not required."""
        failed = (criterion for criterion in self.criteria if criterion.status == "failed")
        return [f"{criterion.id}: {criterion.details}" for criterion in failed]

    def to_json(self, *, verbose: bool = False) -> dict[str, Any]:
        """Return the report as plain data."""
        looked_at = [criterion for criterion in self.criteria if criterion.status != "skipped"]
        required = [criterion for criterion in looked_at if criterion.required]
        report: dict[str, Any] = {
            "target": self.target,
            "environment": self.environment,
            "validation_type": self.validation_type,
            "standard_version": self.standard_version,
            "standard_profile": self.standard_profile,
            "mode": self.mode,
            "passed": self.passed,
            "summary": {
                "passed_count": _count_passed(looked_at),
                "total_count": len(looked_at),
                "failed_criteria": [
                    criterion.id for criterion in looked_at if criterion.status == "failed"
                ],
                "required_passed_count": _count_passed(required),
                "required_total_count": len(required),
                "skipped_criteria": [
                    criterion.id for criterion in self.criteria if criterion.status == "skipped"
                ],
            },
            "criteria": [criterion.to_json() for criterion in self.criteria],
            "issues": self.issues,
        }
        if verbose and self.validation_type == "local_environment":
            report["deployment_modes"] = self.deployment_modes
        return {name: value for name, value in report.items() if value is not None}

    def show(self, console: Console, *, verbose: bool = False) -> None:
        """Print the card; of what passed the details only with `verbose`."""
        width = max((len(criterion.id) for criterion in self.criteria), default=0)
        for criterion in self.criteria:
            mark, style = _MARKS[criterion.status]
            if criterion.status == "failed" and not criterion.required:
                mark, style = "warn", "yellow"
            is_reason = criterion.status == "skipped" and criterion.details
            text = criterion.details if is_reason else criterion.description
            line = Text.assemble((mark, style), f"  {criterion.id:<{width}}  ", text)
            if criterion.details and not is_reason and (verbose or criterion.status == "failed"):
                line.append(f"\n{indent(criterion.details, _INDENT)}", style)
            # Lines end where the terminal has them end: a path in two is no path to click on.
            console.print(line, soft_wrap=True, highlight=False)
        if verbose and self.deployment_modes:
            modes = (f"{name} {'yes' if is_so else 'no'}" for name, is_so in _sorted(self))
            console.print(f"\nit can be run by: {', '.join(modes)}", highlight=False)
        console.print(f"\n{self._verdict()}", highlight=False, markup=False, soft_wrap=True)

    def _verdict(self) -> str:
        failed = [criterion.id for criterion in self.criteria if criterion.is_failure]
        looked_at = [criterion for criterion in self.criteria if criterion.status != "skipped"]
        name = self.environment or self.target
        count = f"{_count_passed(looked_at)} of {len(looked_at)} checks passed"
        if failed:
            return f"{name} is not valid: {count}; failed: {', '.join(failed)}"
        return f"{name} is valid: {count}"


def _count_passed(criteria: list[Criterion]) -> int:
    return sum(criterion.status == "passed" for criterion in criteria)


def _sorted(report: Report) -> list[tuple[str, bool]]:
    return sorted(report.deployment_modes.items())
