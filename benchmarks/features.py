"""What does each feature cost? Our own rows, with one thing switched off or exchanged at a time.

`python -m benchmarks.features`. Compare CPU per step rather than rates: most differences are below
what a rate can show.
"""

from __future__ import annotations

import sys

from benchmarks.asking import ask
from benchmarks.questions import Column, Question, ratio
from benchmarks.rows import Part, Row

NAMES = {
    "nothing": "as it is",
    "no-pings": "no keepalive pings",
    "many-pings": "pings 400 times as often",
    "no-keeping": "unacknowledged messages not kept",
    "watchable": "spectators allowed, and none there",
    "watched": "10 spectators of all sessions",
    "no-gc-tuning": "garbage collection not tuned",
    "json": "JSON instead of MessagePack",
    "deflate": "permessage-deflate",
    "no-uvloop": "asyncio's event loop",
}
CONNECTIONS = {
    "one-connection": "one connection, not two",
    "four-connections": "four connections",
}
FEWEST, MOST = 64, 256


def _row(switch: str, name: str, way: str, execution: str, largest: int) -> Row:
    return Row(
        f"{way}, {execution}: {name}",
        server=Part("benchmarks.serve_features", (switch, execution)),
        client=Part("benchmarks.load_features", (switch, way)),
        largest=largest,
    )


MULTIPLEXED = tuple(
    _row(switch, name, "multiplexed", "inline", MOST)
    for switch, name in (NAMES | CONNECTIONS).items()
)
SOCKETS = tuple(_row(switch, name, "sockets", "inline", FEWEST) for switch, name in NAMES.items())
# Calls of inline environments cannot be given up, so only those on threads have deadlines.
THREADS = tuple(
    _row(switch, name, "multiplexed", "thread", FEWEST)
    for switch, name in (("nothing", "as it is"), ("deadlines", "a deadline for each step"))
)

QUESTION = Question(
    name="features",
    description="What does each feature cost?",
    baseline=MULTIPLEXED[0],
    rows=(*MULTIPLEXED, *SOCKETS, *THREADS),
    quick_rows=MULTIPLEXED,
    sessions=(FEWEST, MOST),
    quick_sessions=(MOST,),
    columns=(
        Column("server us/step", lambda one: f"{one.server_cpu_us:.2f}"),
        Column("client us/step", lambda one: f"{one.client_cpu_us:.2f}"),
        Column("steps/s", lambda one: f"{one.steps_per_s:,.0f}"),
        Column("ratio", lambda one: ratio(one.times_baseline)),
        Column("p50 us", lambda one: f"{one.p50_us:,.0f}"),
        Column("p99 us", lambda one: f"{one.p99_us:,.0f}"),
    ),
)

if __name__ == "__main__":
    sys.exit(ask(QUESTION))
