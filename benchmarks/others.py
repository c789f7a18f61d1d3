"""What would a user pick instead, and how fast is that? gRPC and Ray actors, for the record.

`python -m benchmarks.others`; not part of `python -m benchmarks`. The first run installs both.
"""

from __future__ import annotations

import sys

from benchmarks import rows
from benchmarks.asking import ask
from benchmarks.peers.installation import GRPC, RAY
from benchmarks.questions import RATE_COLUMNS, Question
from benchmarks.rows import Part, Row

MOST_ACTORS = 16
"Each is a process."


def _grpc(name: str, way: str) -> Row:
    return Row(
        f"gRPC {GRPC.version}, {name}",
        server=Part("serve_grpc.py", release=GRPC),
        client=Part("load_grpc.py", (way,), release=GRPC),
    )


def _ray(name: str, way: str) -> Row:
    return Row(
        f"Ray {RAY.version}, {name}",
        server=Part("serve_ray.py", release=RAY),
        client=Part("load_ray.py", (way,), release=RAY),
        largest=MOST_ACTORS,
    )


IN_PROCESS = Row(
    "in process, no server",
    server=Part("benchmarks.serve_ours", ("inline",)),
    client=Part("benchmarks.load_in_process"),
)
STREAM = _grpc("a stream per session", "stream")
ACTORS = _ray("an actor per session", "awaited")

ROWS = (
    rows.BASELINE,
    STREAM,
    _grpc("a call per step", "unary"),
    ACTORS,
    _ray("ray.wait", "waited"),
    rows.SOCKETS,
    rows.MULTIPLEXED,
    rows.STEP_MANY,
    IN_PROCESS,
)

QUESTION = Question(
    name="others",
    description="What would a user pick instead, and how fast is that?",
    baseline=rows.BASELINE,
    rows=ROWS,
    quick_rows=ROWS,
    sessions=(16, 64),
    quick_sessions=(16,),
    columns=RATE_COLUMNS,
)

if __name__ == "__main__":
    sys.exit(ask(QUESTION))
