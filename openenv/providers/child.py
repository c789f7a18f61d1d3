"""Child: a server in a process of its own, which announces its URL and ends with this process.

Owns two pipes: closing the first ends the child (lifeline.py reads it), and on the second the child
writes its URL. Does not know which command runs or how to report its failure: see process.py.
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
"How long a server may take to stop after SIGTERM before it is killed."

_LONGEST_LINE_BYTES = 4096


class Child:
    """A command that lifeline.py runs, in a session of its own, so that Ctrl-C does not reach it.

    `command` gets the file descriptor on which the child has to write its URL and returns the
    arguments. The child's output is appended to the log. `folder` is removed when the child has
    ended; with `keeps_folder` only if its exit code is not 0.
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
        # Run by its path and with -I, so that no module in the working directory or on PYTHONPATH
        # is imported instead.
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
        # Also ends the child when this object is collected, and at exit, if nobody called `stop`.
        self._end = weakref.finalize(self, _end, self._process, self._ready, os.getpid())
        _living.add(self)

    @property
    def exit_code(self) -> int | None:
        """The exit code as a shell reports it: 128 + N after signal N. None while it runs."""
        return self._process.poll()

    def line(self, timeout_s: float) -> str | None:
        """Return the line that the child announces; None if it ended without one.

        Raises TimeoutError.
        """
        deadline, output = time.monotonic() + timeout_s, b""
        # poll, because select fails for file descriptors above 1,023.
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
        """Tell the child to stop, without waiting for its end."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def stop(self) -> None:
        """End the child and every process of its group, and wait for it."""
        self._end()

    def abandon(self) -> None:
        """Close this process's copies of the pipes after a fork; the parent owns the child."""
        self._end.detach()
        self.hang_up()
        os.close(self._ready)
        self._process.returncode = 0  # so that Popen does not wait for the parent's child


def _end(process: subprocess.Popen[bytes], ready: int, pid: int) -> None:
    if pid != os.getpid():
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(GRACE_S + 5)
    except subprocess.TimeoutExpired:
        # The lifeline itself does not run, for instance after SIGSTOP.
        process.kill()
        process.wait()
    os.close(ready)


def last_lines(log: Path, count: int = 20) -> str:
    """Return the last lines of a log file."""
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
