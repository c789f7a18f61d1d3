"""What the throughput table compares, as data: programs, and which client meets which server.

Owns names and command lines only. A new row, release or dialect is an entry here and no code;
how a row is measured is measuring.py's part.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from peers.installation import NEWEST, RENAMED_FROM, Release, python_of


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
        return [str(python_of(self.release)), f"peers/programs/{self.program}", *self.arguments]


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


BASELINE = _published(NEWEST)
"""What every other row's rate is divided by."""

ROWS = (BASELINE,)
"""Measured unless told otherwise."""

MORE_ROWS = (_published(RENAMED_FROM),)
"""Measured when asked for by name."""
