"""How many sessions per second are opened, and what does the server need to hold them?

`python -m benchmarks.sessions`. Opening is connect, open and reset, until all are there; memory is
the growth of the server's resident set, the environments included.
"""

from __future__ import annotations

import sys

from benchmarks import rows
from benchmarks.asking import ask
from benchmarks.questions import OPENING_COLUMNS, Question

QUESTION = Question(
    name="sessions",
    description="How many sessions per second are opened, and what does the server need for them?",
    baseline=rows.BASELINE,
    rows=(
        rows.BASELINE,
        rows.BEFORE,
        rows.MULTIPLEXED,
        rows.MULTIPLEXED_THREAD,
        rows.SOCKETS,
        rows.SOCKETS_THREAD,
        rows.LEGACY,
    ),
    quick_rows=(rows.BASELINE, rows.MULTIPLEXED, rows.SOCKETS),
    # One number only: memory that an earlier one has left behind would be used again.
    sessions=(1000,),
    quick_sessions=(1000,),
    columns=OPENING_COLUMNS,
    window_s=0.2,
    quick_window_s=0.1,
)

if __name__ == "__main__":
    sys.exit(ask(QUESTION))
