"""How long does a snippet take in the sandbox, and how long a fresh episode?"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from benchmarks import machine
from openenv.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

RESULT = Path(__file__).parent / "results" / "sandbox.json"
ROUNDS = 200
WARMUP = 10
# So that the end of the last interpreter is not a part of the next one's beginning.
BETWEEN_S = 0.02


def times_ms(call: Callable[[], object]) -> list[float]:
    """Return how long each of many calls takes."""
    taken = []
    for _ in range(ROUNDS + WARMUP):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1e3)
        time.sleep(BETWEEN_S)
    return taken[WARMUP:]


def measure() -> dict[str, dict[str, float]]:
    """Return median, minimum and 95th percentile of each question, in milliseconds."""
    with Sandbox() as sandbox:
        sandbox.run("import numpy\nx = numpy.arange(100)")
        answers = {
            "a small snippet": times_ms(lambda: sandbox.run("y = 1\ny + 1")),
            "the same with numpy": times_ms(lambda: sandbox.run("int(x.sum())")),
            "a fresh episode": times_ms(sandbox.restart),
        }
    return {
        name: {
            "min_ms": min(taken),
            "median_ms": median(taken),
            "p95_ms": quantiles(taken, n=20)[-1],
        }
        for name, taken in answers.items()
    }


def main() -> None:
    """Measure, print the table and write the result."""
    facts, answers = machine.facts(), measure()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"machine": facts, "answers": answers}, indent=2), "utf-8")
    sys.stdout.write(f"{'':22} {'min':>9} {'median':>9} {'p95':>9}\n")
    for name, answer in answers.items():
        cells = "".join(f" {answer[key]:6.2f} ms" for key in ("min_ms", "median_ms", "p95_ms"))
        sys.stdout.write(f"{name:22}{cells}\n")
    sys.stdout.write(f"load before: {facts['load_before']:.1f} on {facts['cores']} cores\n")


if __name__ == "__main__":
    main()
