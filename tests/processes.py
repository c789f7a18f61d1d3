"""`openenv` as a process of its own, and an environment that waits in the middle of a step."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.patience import patient, within

ROOT = Path(__file__).parents[1]
# Tests and their environments can be imported, and no terminal's width matters.
ENVIRON = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"}
OPENENV = (sys.executable, "-m", "openenv.cli")

GATED = '''
"""A step says through one pipe that it runs, and ends when told so through another."""

from openenv.environment import Environment


class Gated(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self):
        return {"ready": True}

    def step(self, action):
        if action.get("wait"):
            with open("began", "w") as began:
                began.write("began")
            with open("gate") as gate:
                gate.read()
        return {"passed": True}
'''


def openenv(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*OPENENV, *arguments],
        cwd=cwd,
        env=ENVIRON,
        capture_output=True,
        text=True,
        timeout=patient(50),
    )


@asynccontextmanager
async def serving_process(
    *arguments: str, cwd: Path | None = None, environ: dict[str, str] | None = None
) -> AsyncIterator[tuple[Process, str]]:
    """`openenv serve` meanwhile: the process, and the URL that it announces."""
    command = (*OPENENV, "serve", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=ENVIRON | (environ or {}), stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with within(30):
            line = (await process.stdout.readline()).decode()
        found = re.search(r"(http|unix):\S+", line)
        if found is None:
            raise AssertionError((await process.stderr.read()).decode())
        yield process, found.group()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.communicate()


class Gate:
    """The test's end of the pipes of GATED."""

    def __init__(self, folder: Path) -> None:
        (folder / "gated.py").write_text(GATED)
        self._began, self._gate = folder / "began", folder / "gate"
        os.mkfifo(self._began)
        os.mkfifo(self._gate)

    async def wait(self) -> None:
        """Return when a step waits at the gate."""
        async with within(20):
            await asyncio.to_thread(self._began.read_text)

    async def open(self) -> None:
        """Let the step pass."""
        async with within(20):
            await asyncio.to_thread(self._gate.write_text, "")
