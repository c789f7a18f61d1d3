"""What a result depends on besides the code: processor, kernel, interpreter, commit.

Owns reading these facts; a fact that cannot be read is left out, never guessed.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def facts() -> dict[str, str | int | float]:
    """Return the facts of this machine and checkout."""
    found: dict[str, str | int | float] = {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }
    if model := _processor():
        found["processor"] = model
    if commit := commit_of(Path(__file__).parent):
        found["commit"] = commit
    return found


def _processor() -> str | None:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return None


def commit_of(checkout: Path) -> str | None:
    """Return the commit of a checkout, marked if files differ from it; None outside of git."""
    outcome = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    return outcome.stdout.strip() or None
