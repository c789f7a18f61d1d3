"""How many steps per second, when every observation is an image?

`python -m benchmarks.observations`: 100,800 bytes as Atari's, and a megabyte. Ours are numpy arrays
and travel through memory that client and server share, or as bytes; those of the published release
are lists of integers, as it documents them.
"""

from __future__ import annotations

import sys
from math import prod

from benchmarks.asking import ask
from benchmarks.peers.installation import NEWEST
from benchmarks.pixels import SHAPES
from benchmarks.questions import RATE_COLUMNS, Question
from benchmarks.rows import Part, Row


def _published(size: str) -> Row:
    arguments = (str(prod(SHAPES[size])),)
    return Row(
        f"{NEWEST.distribution} {NEWEST.version}, {size}",
        server=Part("serve_pixels.py", arguments, release=NEWEST),
        client=Part("load_pixels.py", arguments, release=NEWEST),
    )


def _ours(size: str, way: str, name: str, transport: str = "tcp", memory: str = "shared") -> Row:
    return Row(
        f"ours, {name}, {size}",
        server=Part("benchmarks.serve_pixels", (size, transport, memory)),
        client=Part("benchmarks.load_pixels", (size, way)),
    )


def _own_sockets(size: str) -> tuple[Row, ...]:
    return (
        _ours(size, "sockets", "one socket each"),
        _ours(size, "sockets", "one socket each, as bytes", memory="bytes"),
        _ours(size, "sockets", "one Unix socket each", "unix"),
        _ours(size, "sockets", "one Unix socket each, as bytes", "unix", "bytes"),
    )


BASELINE = _published("100kB")
MULTIPLEXED = _ours("100kB", "multiplexed", "multiplexed")

QUESTION = Question(
    name="observations",
    description="How many steps per second, when every observation is an image?",
    baseline=BASELINE,
    rows=(
        BASELINE,
        MULTIPLEXED,
        *_own_sockets("100kB"),
        _published("1MB"),
        _ours("1MB", "multiplexed", "multiplexed"),
        *_own_sockets("1MB"),
    ),
    quick_rows=(BASELINE, MULTIPLEXED),
    sessions=(4,),
    quick_sessions=(4,),
    columns=RATE_COLUMNS,
    # The published release answers some seventy steps a second.
    quick_window_s=0.5,
)

if __name__ == "__main__":
    sys.exit(ask(QUESTION))
