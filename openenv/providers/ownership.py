"""Owner: identifies the process that started something, so that others can see if it still runs.

Reads the system's list of processes and changes nothing. Knows nothing of containers: see
docker_cleanup.py.
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
    """Identifies a process uniquely, by its machine, boot, pid and start time."""

    host: str
    "The machine's name and its pid namespace, because two containers may share a name."
    boot: str
    pid: int
    started: str
    "The process's start time in the system's own unit; needed because pids are reused."

    @classmethod
    def this_process(cls) -> Self:
        """Return the owner that stands for this process."""
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
        """Return whether the process still runs; None if it is of another machine or container."""
        if self.host != _host():
            return None
        if self.boot != _boot():
            return False
        started = _started(self.pid)
        # A process whose start time we may not read ("") could be the owner: count it as alive.
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
        # Not Linux: the start time of process 1 identifies the boot.
        return _started_by_ps(1) or ""


def _started(pid: int) -> str | None:
    """Return when a process was started; None if there is none, or it is a zombie.

    An empty string if the process exists but its start time cannot be read.
    """
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
        pass  # the process exists and belongs to another user
    return "" if (PROC / "self").exists() else _started_by_ps(pid)


def _started_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
    state, _, started = shown.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
