"""The JavaScript sources and what they need from npm: fetched once, by whoever comes first."""

import fcntl
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.patience import patient
from tests.processes import ROOT

SOURCES = ROOT / "openenv/webui/source"
OLDEST_NODE = 20
# A first `npm ci` fetches some hundred packages.
FETCH_TIMEOUT_S = patient(240)


@cache
def workspace() -> Path:
    """Return the folder of the sources, with their packages in place; skip the test without npm."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    version = subprocess.check_output(["node", "--version"], text=True).strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"node is {version}, older than {OLDEST_NODE}")
    with (SOURCES / "package-lock.json").open() as lock:
        # Several workers of one run, and several runs in one tree, ask at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_installed():
            run_npm("ci", "--no-audit", "--no-fund", timeout_s=FETCH_TIMEOUT_S)
        if not _is_built():
            run_npm("run", "build", "--workspace", "client")
    return SOURCES


def _is_installed() -> bool:
    """Whether the packages in place are those of the lock file; npm writes its copy last."""
    installed = SOURCES / "node_modules/.package-lock.json"
    return _is_newer(installed, [SOURCES / "package-lock.json"])


def _is_built() -> bool:
    """Whether the client was built from what its sources are now; this file is written last."""
    client = SOURCES / "client"
    return _is_newer(
        client / "dist/openenv.min.js", [client / "package.json", *client.glob("src/*")]
    )


def _is_newer(made: Path, sources: list[Path]) -> bool:
    return made.exists() and all(
        made.stat().st_mtime >= source.stat().st_mtime for source in sources
    )


def run_npm(*arguments: str, timeout_s: float = 120) -> str:
    """Run npm in the folder of the sources, and return what it says."""
    return run("npm", *arguments, folder=SOURCES, timeout_s=timeout_s)


def run(*command: str, folder: Path, timeout_s: float = 120) -> str:
    """Run a command that must succeed, and return what it says."""
    environ = os.environ | {"PYTHON": sys.executable, "NO_COLOR": "1", "CI": "true"}
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=timeout_s
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    )
    return done.stdout
