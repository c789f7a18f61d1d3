"""Starts a helper program, talks to it in lines of JSON, and stops it.

Owns the processes it starts. Knows nothing of what they do: a program announces itself with
one line on its standard output, and may then answer each line on its input with one line.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHECKOUT = Path(__file__).resolve().parents[2]
_START_S = 60.0
_STOP_S = 5.0


class ProgramError(RuntimeError):
    """A helper program died, hung or answered with an error; says what it printed last."""


class Program:
    """One running helper program; made by `running`."""

    def __init__(self, process: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
        self._process = process
        self._complaints = complaints
        self._received = b""
        self.announcement: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send one line and return the answer to it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure("ended before it was asked") from None
        return self.read(timeout_s)

    def read(self, timeout_s: float) -> dict[str, Any]:
        """Return the next line the program prints."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._received:
            left_s = max(0.0, deadline - time.monotonic())
            if not select.select([descriptor], [], [], left_s)[0]:
                raise self._failure(f"said nothing for {timeout_s:g} s")
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise self._failure("ended")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise self._failure(f"failed: {answer['failed']}")
        return answer

    def _failure(self, what: str) -> ProgramError:
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()[-15:]
        return ProgramError("\n".join([f"{self._process.args!r} {what}", *lines]))

    def stop(self) -> None:
        """End the process, politely first."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def running(
    command: Sequence[str | os.PathLike[str]],
    core: int | None = None,
    tree: Path | None = None,
) -> Iterator[Program]:
    """Run `command` until the block ends; yields once the program announced itself.

    `core` pins it, and every thread it makes, to that one processor core. With `tree`, it and all
    that it starts import from that checkout instead of this one.
    """
    with tempfile.TemporaryFile() as complaints:
        with _pinned(core):
            process = subprocess.Popen(
                command,
                cwd=tree or _CHECKOUT,
                env=os.environ | {"PYTHONPATH": str(tree)} if tree else None,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
            )
        program = Program(process, complaints)
        try:
            program.announcement = program.read(_START_S)
            yield program
        finally:
            program.stop()


@contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    """Children inherit their parent's cores, so the parent moves while it starts one."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
