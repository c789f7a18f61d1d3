"""The rows of tables, as data: programs, and which client meets which server.

Owns names and command lines only. A new release or dialect is an entry here and no code; which
question asks for which rows is said in the question's own file, and how a row is measured is
measuring.py's part.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.peers.installation import NEWEST, RENAMED_FROM, Release, python_of

MOST_SOCKETS = 1024
"At how many sessions rows are measured that have a socket for each."


@dataclass(frozen=True)
class Part:
    """A program of a row: our module, or with `release` a script run by that release's Python."""

    program: str
    arguments: tuple[str, ...] = ()
    release: Release | None = None
    tree: Path | None = None
    "The checkout that our module is of; this one without."

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
    """One line of a table: a client's way of use against a server."""

    name: str
    server: Part
    client: Part
    largest: int | None = None
    "The largest number of sessions that it is measured at."

    def takes(self, sessions: int) -> bool:
        """Whether the row is measured at this number of sessions."""
        return self.largest is None or sessions <= self.largest

    def of_tree(self, tree: Path, label: str) -> Row:
        """Return the same row with both programs of another checkout, and a label of its own."""
        return Row(
            f"{label}, {self.name}",
            server=replace(self.server, tree=tree),
            client=replace(self.client, tree=tree),
            largest=self.largest,
        )


def published(release: Release) -> Row:
    """Return the row of a published release: its server, and its client."""
    return Row(
        f"{release.distribution} {release.version}",
        server=Part("serve_echo.py", release=release),
        client=Part("load_echo.py", release=release),
        largest=MOST_SOCKETS,
    )


def ours(name: str, way: str, execution: str, *options: str) -> Row:
    """Return a row of ours: a way to use the client, and where the environment runs."""
    return Row(
        f"ours, {name}, {execution}",
        server=Part("benchmarks.serve_ours", (execution, *options)),
        client=Part("benchmarks.load_ours", (way,)),
        largest=MOST_SOCKETS if way == "sockets" else None,
    )


def placed(name: str, way: str, *place: str) -> Row:
    """Return a row of ours for comparing commits: its programs are found in earlier ones, too."""
    return Row(
        name,
        server=Part("benchmarks.serve_placed", ("Echo", *place)),
        client=Part("benchmarks.load_ours", (way,)),
        largest=MOST_SOCKETS if way == "sockets" else None,
    )


def floor(name: str, kind: str) -> Row:
    """Return a row of what no session server can beat without sending less often."""
    return Row(
        f"floor, {name}, one socket each",
        server=Part("benchmarks.serve_floor", (kind,)),
        client=Part("benchmarks.load_floor", (kind,)),
        largest=MOST_SOCKETS,
    )


BASELINE = published(NEWEST)
BEFORE = published(RENAMED_FROM)
PLAIN_TCP = floor("plain TCP", "tcp")
PLAIN_WEBSOCKET = floor("plain WebSocket", "websocket")
MULTIPLEXED = ours("multiplexed", "multiplexed", "inline")
MULTIPLEXED_THREAD = ours("multiplexed", "multiplexed", "thread")
STEP_MANY = ours("step_many", "step_many", "inline")
STEP_MANY_THREAD = ours("step_many", "step_many", "thread")
SOCKETS = ours("one socket each", "sockets", "inline")
SOCKETS_THREAD = ours("one socket each", "sockets", "thread")
LEGACY = ours("one socket each, legacy", "sockets", "inline", "--legacy")
LEGACY_THREAD = ours("one socket each, legacy", "sockets", "thread", "--legacy")
THEIR_CLIENT = Row(
    f"{NEWEST.distribution} {NEWEST.version} client, our server, inline",
    server=Part("benchmarks.serve_ours", ("inline",)),
    client=Part("load_echo.py", release=NEWEST),
    largest=MOST_SOCKETS,
)
COMPARED = (
    placed("multiplexed", "multiplexed", "inline"),
    placed("step_many", "step_many", "inline"),
    placed("own sockets", "sockets", "inline"),
    placed("multiplexed, thread", "multiplexed", "thread"),
    placed("multiplexed, process", "multiplexed", "process", "1"),
)
"What two commits are compared by: each way to step, and each placement."
