"""How much CPU time does importing the client take?"""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.peers.installation import NEWEST, python_of

if TYPE_CHECKING:
    from pathlib import Path

_ELSEWHERE = "/"
"A folder that holds no openenv, for Python looks there first."
_PROGRAM = "import time; t = time.process_time(); {}; print(time.process_time() - t)"


def import_cpu_s(python: Path | str, statement: str, rounds: int = 3) -> float:
    """Return the median of the CPU seconds that a fresh interpreter needs for an import."""
    command = [str(python), "-c", _PROGRAM.format(statement)]
    # The first one is thrown away: it may write the bytecode.
    outputs = [subprocess.check_output(command, cwd=_ELSEWHERE) for _ in range(rounds + 1)]
    return median(float(output) for output in outputs[1:])


def ours() -> float:
    """Return what our client takes, with what it imports only when it first connects."""
    return import_cpu_s(
        sys.executable,
        "from openenv import EnvClient, connect; import openenv.client.link.websocket_channel",
    )


def published() -> float:
    """Return what the published release's client takes."""
    return import_cpu_s(python_of(NEWEST), "from openenv.core.env_client import EnvClient")


if __name__ == "__main__":
    sys.stdout.write(f"our client: {ours():.3f} s of CPU, {NEWEST}: {published():.3f} s\n")
