"""Makes a virtual environment for a release of somebody else's, once, when it is first asked for.

Owns the folder `.peers/` of the checkout, which git ignores. Knows nothing of what the release
is asked to do: that is programs/. `python -m benchmarks.peers` makes those of the published
releases beforehand.
"""

from __future__ import annotations

import fcntl
import platform
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(__file__).resolve().parents[2] / ".peers"

# Every release gets the fast loop and parser, so that no row of a benchmark lacks what ours has.
_COMPANIONS = ("uvloop", "httptools")
# Published releases have no upper bounds: a new version of a library could break them.
# Not our own constraints: a resolver that has to meet both searches for minutes.
_CONSTRAINTS = Path(__file__).with_name("constraints")


NEWEST_RELEASE = "newest"
"As a version: the newest of the day on which its virtual environment is made."


class PeerInstallError(RuntimeError):
    """A release could not be installed; says what pip said last."""


@dataclass(frozen=True)
class Release:
    """One published version of one distribution, and what is installed with it."""

    distribution: str
    version: str
    companions: tuple[str, ...] = _COMPANIONS

    def __str__(self) -> str:
        if self.version == NEWEST_RELEASE:
            return self.distribution
        return f"{self.distribution}=={self.version}"

    @property
    def folder(self) -> Path:
        """Where its virtual environment lives, whether or not it is there yet."""
        # One for each interpreter that asks, so that two never undo each other's work.
        return HOME / f"{self.distribution}-{self.version}-python{platform.python_version()}"


def _published(distribution: str, version: str) -> Release:
    constraints = _CONSTRAINTS / f"{distribution}-{version}.txt"
    return Release(distribution, version, (*_COMPANIONS, "--constraint", str(constraints)))


FIRST = _published("openenv-core", "0.1.0")
RENAMED_FROM = _published("openenv-core", "0.3.0")
NEWEST = _published("openenv", "0.10.0")
RELEASES = (FIRST, RENAMED_FROM, NEWEST)

# What a user would pick instead; benchmarks/others.py.
GRPC = Release("grpcio", "1.85.1", ("grpcio-tools==1.85.1", "uvloop"))
RAY = Release("ray", "2.60.0", ("uvloop",))


def python_of(release: Release) -> Path:
    """Return the interpreter that has `release` installed; the first call takes minutes.

    Raises PeerInstallError if the release cannot be installed.
    """
    python = release.folder / "bin" / "python"
    with _locked(release):
        if _stamp(release) != _stamp_text(release):
            _make(release, python)
    return python


def _make(release: Release, python: Path) -> None:
    shutil.rmtree(release.folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(release.folder)], release)
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    _run([str(python), "-m", "pip", "install", *quiet, str(release), *release.companions], release)
    # Last, so that a half-made folder is made anew.
    _stamp_path(release).write_text(_stamp_text(release))


def _run(command: list[str], release: Release) -> None:
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        said = "\n".join((outcome.stdout + outcome.stderr).strip().splitlines()[-8:])
        raise PeerInstallError(
            f"{release} could not be installed into {release.folder}.\n{said}\n"
            "It comes from the package registry: check the network and pip's configuration."
        )


@contextmanager
def _locked(release: Release) -> Iterator[None]:
    """Let one process at a time make a release; the others wait and find it made."""
    HOME.mkdir(exist_ok=True)
    with release.folder.with_name(f"{release.folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stamp_path(release: Release) -> Path:
    return release.folder / "installed.txt"


def _stamp_text(release: Release) -> str:
    return "\n".join([str(release), *release.companions, ""])


def _stamp(release: Release) -> str:
    path = _stamp_path(release)
    return path.read_text() if path.exists() else ""
