"""How many steps per second does a server answer, and at which latency and CPU cost?

`python -m benchmarks.throughput`; README.md says how to read the table. With `--against REVISION`,
this tree and that commit are measured in turns.
"""

from __future__ import annotations

import sys

from benchmarks import rows
from benchmarks.asking import ask
from benchmarks.questions import RATE_COLUMNS, Question

COMPARED = Question(
    name="throughput-against",
    description="How many steps per second does a server answer, before and after a change?",
    baseline=rows.COMPARED[0],
    rows=rows.COMPARED,
    quick_rows=rows.COMPARED,
    sessions=(1, 64, 256, 1024),
    quick_sessions=(1, 64, 256, 1024),
    columns=RATE_COLUMNS,
)
QUESTION = Question(
    name="throughput",
    description="How many steps per second does a server answer, at which latency and CPU cost?",
    baseline=rows.BASELINE,
    rows=(
        rows.BASELINE,
        rows.BEFORE,
        rows.PLAIN_TCP,
        rows.MULTIPLEXED,
        rows.MULTIPLEXED_THREAD,
        rows.STEP_MANY,
        rows.STEP_MANY_THREAD,
        rows.SOCKETS,
        rows.SOCKETS_THREAD,
        rows.LEGACY,
        rows.LEGACY_THREAD,
    ),
    quick_rows=(
        rows.BASELINE,
        rows.PLAIN_TCP,
        rows.MULTIPLEXED,
        rows.STEP_MANY,
        rows.LEGACY,
    ),
    more_rows=(rows.PLAIN_WEBSOCKET, rows.THEIR_CLIENT),
    sessions=(1, 16, 64, 256, 1024, 10_000),
    quick_sessions=(1, 64, 256, 1024, 10_000),
    columns=RATE_COLUMNS,
    compared=COMPARED,
)

if __name__ == "__main__":
    sys.exit(ask(QUESTION))
