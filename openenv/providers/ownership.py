"""Owner: which process has started something, written so that another can tell if it still lives.

Pure but for what the system says of processes. Knows nothing of containers: cleanup.py does.
"""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from openenv.errors import ConfigurationError

PROC = Path("/proc")
_STATE, _START_TIME = 0, 19
"Fields of /proc/PID/stat after the name in parentheses; proc(5) counts them from 3."


@dataclass(frozen=True)
class Owner:
    """A process, told from all others of all times: where, since which boot, when started."""

    host: str
    "The machine's name and its namespace of process ids, as two containers may share a name."
    boot: str
    pid: int
    started: str
    "Of the process, in whatever the system counts: pids are used again."

    @classmethod
    def this_process(cls) -> Self:
        """Return the owner of what this process starts from now on."""
        pid = os.getpid()
        return cls(_host(), _boot(), pid, _started(pid) or "")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the owner that a label names. Raises ConfigurationError."""
        try:
            host, boot, pid, started = text.split("|")
            return cls(host, boot, int(pid), started)
        except ValueError:
            raise ConfigurationError(f"{text!r} names no owner") from None

    def __str__(self) -> str:
        return "|".join((self.host, self.boot, str(self.pid), self.started))

    def is_alive(self) -> bool | None:
        """Tell whether the process still runs; None if it is another machine's, or container's."""
        if self.host != _host():
            return None
        if self.boot != _boot():
            return False
        started = _started(self.pid)
        # A process that exists but shows no start is hidden from us, and may be the one.
        return started is not None and started in (self.started, "")


def _host() -> str:
    try:
        namespace = str((PROC / "self/ns/pid").stat().st_ino)
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace}"


def _boot() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        # Elsewhere the start of the first process says when the machine was started.
        return _started_by_ps(1) or ""


def _started(pid: int) -> str | None:
    """Return when a process was started: None if there is none, or only its remains."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        pass
    else:
        return None if fields[_STATE] in "ZX" else fields[_START_TIME]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it exists, and belongs to somebody else
    return "" if (PROC / "self").exists() else _started_by_ps(pid)


def _started_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
    state, _, started = shown.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
