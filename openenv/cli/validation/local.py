"""A target in a process of its own: served while it is validated, or imported to be looked at."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from openenv.errors import ConfigurationError, StartupTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LAST_LINES = 20
STOP_TIMEOUT_S = 10.0

_ANNOUNCED = re.compile(r"^serving .* on (http://\S+)$")


@asynccontextmanager
async def serving(target: str, timeout_s: float) -> AsyncIterator[str]:
    """Serve a target meanwhile; yield its URL. Raises StartupTimeout with the end of its log."""
    with TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "openenv.cli", "serve", target, "--port", "0"),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=log,
            # Ctrl-C is for this process, which then ends that one and its children.
            start_new_session=True,
        )
        reading = None
        try:
            url = await _announced_url(process, log, timeout_s)
            # What the environment prints would block it once the pipe is full.
            reading = asyncio.ensure_future(_drop(process))
            yield url
        finally:
            await _stop(process)
            if reading is not None:
                await reading


async def look_into(target: str, timeout_s: float) -> dict[str, Any]:
    """Return what probe.py finds in a target. Raises ConfigurationError."""
    with TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "openenv.cli.validation.probe", target, str(found)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout_s):
                said, _ = await process.communicate()
        except TimeoutError:
            raise ConfigurationError(f"{target} was not imported in {timeout_s:.0f} s") from None
        finally:
            await _stop(process)
        if not found.is_file():
            last = said.decode(errors="replace").strip().splitlines()[-LAST_LINES:]
            raise ConfigurationError("\n  ".join((f"{target} cannot be imported:", *last)))
        return json.loads(found.read_bytes())  # type: ignore[no-any-return]


async def _announced_url(process: Process, log: IO[bytes], timeout_s: float) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(timeout_s):
            # An environment may print while it is imported.
            async for line in process.stdout:
                announced = _ANNOUNCED.match(line.decode(errors="replace").rstrip())
                if announced:
                    return announced[1]
            await process.wait()
        why = "the server ended before it served"
    except TimeoutError:
        why = f"the server did not start within {timeout_s:.0f} s"
    log.seek(0)
    last = "\n".join(log.read().decode(errors="replace").strip().splitlines()[-LAST_LINES:])
    raise StartupTimeout(f"{why}:\n{last}" if last else why, last)


async def _drop(process: Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(1 << 16):
        pass


async def _stop(process: Process) -> None:
    """End a process and what it has started."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            pass
    with suppress(ProcessLookupError):
        # Its group, for workers and whatever an environment has left running.
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
