"""What the throughput table compares, as data: programs, and which client meets which server.

Owns names and command lines only. A new row, release or dialect is an entry here and no code;
how a row is measured is measuring.py's part.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.peers.installation import NEWEST, RENAMED_FROM, Release, python_of


@dataclass(frozen=True)
class Part:
    """A program of a row: our module, or with `release` a script run by that release's Python."""

    program: str
    arguments: tuple[str, ...] = ()
    release: Release | None = None

    def command(self) -> list[str]:
        """Return the command line; installs the release if it is not there yet."""
        if self.release is None:
            return [sys.executable, "-m", self.program, *self.arguments]
        return [
            str(python_of(self.release)),
            f"benchmarks/peers/programs/{self.program}",
            *self.arguments,
        ]


@dataclass(frozen=True)
class Row:
    """One line of the table: a client's way of use against a server."""

    name: str
    server: Part
    client: Part


def _published(release: Release) -> Row:
    return Row(
        f"{release.distribution} {release.version}",
        server=Part("serve_echo.py", release=release),
        client=Part("load_echo.py", release=release),
    )


def _ours(name: str, way: str, execution: str, *options: str) -> Row:
    return Row(
        f"ours, {name}, {execution}",
        server=Part("benchmarks.serve_ours", (execution, *options)),
        client=Part("benchmarks.load_ours", (way,)),
    )


def _floor(name: str, kind: str) -> Row:
    return Row(
        f"floor, {name}, one socket each",
        server=Part("benchmarks.serve_floor", (kind,)),
        client=Part("benchmarks.load_floor", (kind,)),
    )


BASELINE = _published(NEWEST)
"""What every other row's rate is divided by."""

QUICK_ROWS = (
    BASELINE,
    _ours("multiplexed", "multiplexed", "inline"),
    _ours("multiplexed", "multiplexed", "thread"),
    _ours("step_many", "step_many", "inline"),
    _ours("one socket each", "sockets", "inline"),
    _ours("one socket each", "sockets", "thread"),
)
"""Measured by --quick."""

ROWS = (
    *QUICK_ROWS,
    _ours("step_many", "step_many", "thread"),
    _ours("one socket each, legacy", "sockets", "inline", "--legacy"),
    _ours("one socket each, legacy", "sockets", "thread", "--legacy"),
)
"""Measured unless told otherwise."""

MORE_ROWS = (
    _floor("plain TCP", "tcp"),
    _floor("plain WebSocket", "websocket"),
    _published(RENAMED_FROM),
    Row(
        f"{NEWEST.distribution} {NEWEST.version} client, our server, inline",
        server=Part("benchmarks.serve_ours", ("inline",)),
        client=Part("load_echo.py", release=NEWEST),
    ),
)
"""Measured when asked for by name."""
