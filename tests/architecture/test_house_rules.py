"""The rules that tests/conftest.py holds every test to do catch offenders."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LEAKS_A_TASK = """
import asyncio
kept = []
async def test_it():
    kept.append(asyncio.create_task(asyncio.Event().wait()))
"""
LEAKS_A_THREAD = """
import threading
def test_it():
    threading.Thread(target=threading.Event().wait, daemon=True, name="forgotten").start()
"""
KEEPS_THE_PORTAL = LEAKS_A_THREAD.replace("forgotten", "openenv-portal")
USES_A_WORKER_THREAD = """
import asyncio
async def test_it():
    assert await asyncio.to_thread(int, "7") == 7
"""
SKIPS = """
import pytest
@pytest.mark.skip(reason="REASON")
def test_it():
    pass
"""

LEAVES_A_PROCESS_AND_A_FILE = """
import os, subprocess, tempfile

def test_it():
    with open("pid", "w") as pid:
        pid.write(str(os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "50")))
    handle, _ = tempfile.mkstemp()
    os.close(handle)
"""


def run_pytest(folder: Path, source: str, *, ci: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a test file under this project's conftest and settings, in its own process."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests/patience.py", folder / "tests")
    for rules, grace in (("tests/conftest.py", "5.0"), ("tests/leftovers.py", "10.0")):
        text = (ROOT / rules).read_text(encoding="utf-8")
        assert f"_GRACE_S = {grace}" in text
        shorter = text.replace(f"_GRACE_S = {grace}", "_GRACE_S = 0.05")
        (folder / rules).write_text(shorter, encoding="utf-8")
    (folder / "tests/test_it.py").write_text(source, encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if k not in {"CI", "PYTEST_ADDOPTS"}}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=folder,
        env=env | ({"CI": "true"} if ci else {}),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (LEAKS_A_TASK, "tasks left running: ['<coroutine object Event.wait"),
        (LEAKS_A_THREAD, "threads left running: ['forgotten']"),
    ],
    ids=["task", "thread"],
)
def test_what_a_test_leaves_running_fails_it(tmp_path: Path, source: str, complaint: str) -> None:
    run = run_pytest(tmp_path, source)
    assert run.returncode == 1
    assert complaint in run.stdout


def test_what_the_tests_leave_behind_fails_them(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, LEAVES_A_PROCESS_AND_A_FILE)
    try:
        assert run.returncode != 0
        assert "1 passed" in run.stdout
        _, said, left = run.stderr.partition("left behind by the tests:\n")
        assert said
        assert re.search(r"^process \d+: sleep 50$", left, re.MULTILINE)
        assert re.search(r"^file /.+/tmp\w+$", left, re.MULTILINE)
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("source", [KEEPS_THE_PORTAL, USES_A_WORKER_THREAD])
def test_what_ends_by_itself_or_is_kept_on_purpose_passes(tmp_path: Path, source: str) -> None:
    run = run_pytest(tmp_path, source)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("reason", "ci", "status"),
    [("no numpy", True, 1), ("no numpy", False, 0), ("opt-in: needs a cluster", True, 0)],
)
def test_a_skip_fails_under_ci_unless_it_is_opt_in(
    tmp_path: Path, reason: str, ci: bool, status: int
) -> None:
    run = run_pytest(tmp_path, SKIPS.replace("REASON", reason), ci=ci)
    assert run.returncode == status, run.stdout
