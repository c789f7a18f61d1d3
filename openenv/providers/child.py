"""Child: a server in a process of its own, which announces its URL and ends with this process.

Owns the pipes to it: one whose end ends the child (lifeline.py is at the far side), and one on
which the child says that it serves. What is run, and what is said of a failure, is process.py's
affair.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
import weakref
from typing import TYPE_CHECKING

from openenv.providers import lifeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

GRACE_S = 10.0
"How long a server may take to end its sessions before it is killed."

_LONGEST_LINE_BYTES = 4096


class Child:
    """A command below a lifeline, in a session of its own, so that Ctrl-C is for the client.

    `command` is asked for the arguments once the number of the file is known on which the child is
    to write its URL. Its output is appended to the log. `folder` is removed when it has ended;
    with `keeps_folder` only if it has ended badly.
    """

    def __init__(
        self,
        command: Callable[[int], list[str]],
        environ: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
        *,
        keeps_folder: bool = False,
    ) -> None:
        self._ready, announce = os.pipe()
        # By its path and isolated: neither the working directory nor PYTHONPATH can replace it.
        program = [sys.executable, "-I", lifeline.__file__, str(GRACE_S), str(folder or "")]
        program.append("keeps" if keeps_folder else "")
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [*program, *command(announce)],
                    env=environ,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[announce],
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._ready)
            raise
        finally:
            os.close(announce)
        # As exit handlers of a provider that nobody has closed.
        self._end = weakref.finalize(self, _end, self._process, self._ready, os.getpid())
        _living.add(self)

    @property
    def exit_code(self) -> int | None:
        """How it ended, by a shell's reckoning: 128 + N after signal N. None while it runs."""
        return self._process.poll()

    def line(self, timeout_s: float) -> str | None:
        """Return the line that the child announces; None if it ended without.

        Raises TimeoutError.
        """
        deadline, output = time.monotonic() + timeout_s, b""
        # Not `select`, for the file's number may be beyond 1,023.
        waiting = select.poll()
        waiting.register(self._ready, select.POLLIN)
        while b"\n" not in output:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not waiting.poll(left_s * 1000):
                raise TimeoutError
            read = os.read(self._ready, _LONGEST_LINE_BYTES)
            if not read:
                self._process.wait()
                return None
            output += read
        return output.partition(b"\n")[0].decode()

    def hang_up(self) -> None:
        """Tell the child to end, without waiting for it."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def stop(self) -> None:
        """End the child and all that it has started."""
        self._end()

    def abandon(self) -> None:
        """In the child of a fork: close its copies of the pipes, which are the parent's."""
        self._end.detach()
        self.hang_up()
        os.close(self._ready)
        self._process.returncode = 0  # it is not this process's child


def _end(process: subprocess.Popen[bytes], ready: int, pid: int) -> None:
    if pid != os.getpid():
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(GRACE_S + 5)
    except subprocess.TimeoutExpired:
        # Somebody has stopped the lifeline itself, with SIGSTOP.
        process.kill()
        process.wait()
    os.close(ready)


def last_lines(log: Path, count: int = 20) -> str:
    """Return the end of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 1024))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError as error:
        return f"(no log: {error.strerror})"
    return "\n".join(lines[-count:])


def _abandon_all() -> None:
    for child in list(_living):
        if child._end.alive:
            child.abandon()


_living: weakref.WeakSet[Child] = weakref.WeakSet()
os.register_at_fork(after_in_child=_abandon_all)
