"""How fast is a vector of served environments, beside Gymnasium's vectors without any server?

`python -m benchmarks.vectors`: CartPole-v1, the same actions and seeds in every row. Gymnasium's
SyncVectorEnv steps in the client's process; its AsyncVectorEnv has a process for each environment,
and may use all cores. Ours uses one core for the server and one for the client.
"""

from __future__ import annotations

import sys

from benchmarks.asking import ask
from benchmarks.questions import Column, Question
from benchmarks.rows import Part, Row


def _row(name: str, way: str, placement: str = "inline") -> Row:
    """Return a row; Gymnasium's own have a server, too, which has nothing to do."""
    return Row(
        name,
        server=Part("benchmarks.serve_cart_pole", (placement,)),
        client=Part("benchmarks.load_vectors", (way,)),
    )


SYNC = _row("gymnasium SyncVectorEnv", "gymnasium_sync")
ASYNC = _row("gymnasium AsyncVectorEnv", "gymnasium_async")
OURS = _row("ours, step", "ours")
HALVES = _row("ours, send and recv, half each", "halves")

QUESTION = Question(
    name="vectors",
    description="How fast is a vector of served CartPoles, beside Gymnasium's vectors?",
    baseline=SYNC,
    rows=(SYNC, ASYNC, OURS, HALVES, _row("ours, step, thread", "ours", "thread")),
    quick_rows=(SYNC, ASYNC, OURS, HALVES),
    sessions=(64,),
    quick_sessions=(64,),
    columns=(
        Column("steps/s", lambda one: f"{one.steps_per_s:,.0f}"),
        Column("of SyncVectorEnv", lambda one: f"{one.times_baseline or 0:.0%}"),
        Column("p50 us", lambda one: f"{one.p50_us:,.0f}"),
        Column("p99 us", lambda one: f"{one.p99_us:,.0f}"),
        Column("server us/step", lambda one: f"{one.server_cpu_us:.2f}"),
        Column("client us/step", lambda one: f"{one.client_cpu_us:.2f}"),
    ),
    quick_rounds=5,
)

if __name__ == "__main__":
    sys.exit(ask(QUESTION))
