"""A confined interpreter as its owner sees it: requests, deadlines, output, and its end.

Nothing that comes from it is trusted: every answer is bounded in size and checked, and a deadline
does not depend on it.
"""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from openenv.sandbox import folder as folders
from openenv.sandbox import frames
from openenv.sandbox.isolation import SandboxError
from openenv.sandbox.outcome import Capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from openenv.sandbox.limits import Limits
    from openenv.sandbox.zygote import ZygoteProcess

    Function = Callable[..., Any]

READ_BYTES = 1 << 16
# What a pipe holds: more than this after an answer is written by threads that go on.
PIPE_BYTES = 1 << 16
# More output than this is not read: throwing it away costs the server time, too.
FLOOD_BYTES = 1 << 27
INTERRUPT_GRACE_S = 0.2
START_S = 10.0
# How often the folder is looked at that has no size of its own.
WATCH_S = 0.05
READABLE = select.POLLIN | select.POLLHUP


class CellTimeout(Exception):
    """The deadline has passed; `is_alive` says whether the interrupted interpreter has answered."""

    def __init__(self, is_alive: bool) -> None:
        super().__init__()
        self.is_alive = is_alive


class CellEnded(Exception):
    """The interpreter's process has ended, or does not keep to the protocol."""


class DiskFull(Exception):
    """The folder holds more than it may."""


class Cell:
    """One process, from its start to its end."""

    def __init__(
        self,
        zygote: ZygoteProcess,
        folder: str,
        limits: Limits,
        seed: int | None,
        without: Iterable[str] = (),
    ) -> None:
        self._zygote = zygote
        self.folder = folder
        self.limits = limits
        os.makedirs(folder, 0o700, exist_ok=True)
        self._comm, comm = socket.socketpair()
        self._out, out = os.pipe()
        self._err, err = os.pipe()
        try:
            order: dict[str, Any] = {
                name: value for name, value in vars(limits).items() if name in ORDERED
            }
            order |= {"folder": folder, "seed": seed, "without": list(without)}
            self.pid = zygote.ask("start", comm.fileno(), out, err, order=order)["pid"]
        except SandboxError:
            self._forget()
            raise
        finally:
            comm.close()
            os.close(out)
            os.close(err)
        for fd in (self._comm.fileno(), self._out, self._err):
            os.set_blocking(fd, False)
        self.layers: list[str] = []
        self.layers = self._first_words()

    def _first_words(self) -> list[str]:
        """Return the layers of the confinement. They are said before untrusted code runs."""
        try:
            reply = self.ask({}, START_S, 1 << 16)
        except (CellEnded, CellTimeout) as error:
            self.end()
            raise SandboxError(f"the sandbox did not start: {type(error).__name__}") from None
        if "error" in reply:
            self.end()
            raise SandboxError(f"the sandbox did not start: {reply['error']}")
        return list(reply["layers"])

    @property
    def is_watched(self) -> bool:
        """Tell whether its folder must be looked at, for it has no size of its own."""
        return "tmpfs" not in self.layers

    def ask(
        self,
        request: dict[str, Any],
        timeout_s: float,
        max_bytes: int,
        captures: tuple[Capture, Capture] | None = None,
        functions: Mapping[str, Function] | None = None,
    ) -> dict[str, Any]:
        """Send a request, collect output, and return the answer.

        `functions` are called meanwhile if the interpreter asks for it; their time does not count.
        Raises CellTimeout, CellEnded or DiskFull.
        """
        out, err = captures or (Capture(0), Capture(0))
        conversation = _Conversation(self, request, max_bytes, {self._out: out, self._err: err})
        deadline = time.monotonic() + timeout_s
        try:
            answer = conversation.until(deadline, functions or {})
            if answer is not None:
                return answer
            self._zygote.ask("interrupt", pid=self.pid)
            raise CellTimeout(conversation.ends_within(INTERRUPT_GRACE_S))
        finally:
            conversation.drain()

    def check_folder(self) -> None:
        """Raise DiskFull if there is too much in a folder that has no size of its own."""
        most = self.limits.disk_bytes, self.limits.files
        if self.is_watched and folders.is_over(self.folder, self.pid, *most):
            raise DiskFull

    def end(self) -> int:
        """Kill it if it lives, and remove what it has left outside; return its exit code."""
        try:
            status: int = self._zygote.ask("end", pid=self.pid)["status"]
        except SandboxError:
            return 137  # with the zygote, its children are killed
        finally:
            self._forget()
            if self.is_watched:
                folders.remove(self.folder)
        return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def discard(self) -> None:
        """Kill it, and do not wait until the kernel is done with it unless it has files outside."""
        if self.is_watched:
            self.end()
            return
        with suppress(SandboxError):
            self._zygote.ask("discard", pid=self.pid)
        self._forget()

    def _forget(self) -> None:
        self._comm.close()
        os.close(self._out)
        os.close(self._err)


ORDERED = {
    "memory_bytes", "disk_bytes", "files", "threads", "open_files", "value_chars", "file_bytes",
}  # fmt: skip


def _call(functions: Mapping[str, Function], asked: dict[str, Any]) -> bytes:
    """Call a function for the code in the sandbox; return the message of what came of it."""
    name, arguments, options = asked["ask"], asked.get("arguments"), asked.get("options")
    if not isinstance(arguments, list) or not isinstance(options, dict):
        raise CellEnded  # not what the sandbox's own functions send
    try:
        if name not in functions:
            raise LookupError(f"{name} cannot be called by this snippet")
        return frames.encode({"value": functions[name](*arguments, **options)})
    except Exception as error:  # noqa: BLE001 - told to the code that has called
        return frames.encode({"error": f"{type(error).__name__}: {error}"})


class _Conversation:
    """One request, its answer, and what is printed meanwhile."""

    def __init__(
        self, cell: Cell, request: dict[str, Any], max_bytes: int, captures: dict[int, Capture]
    ) -> None:
        self._cell = cell
        self._comm = cell._comm.fileno()
        self._unsent = memoryview(frames.encode(request) if request else b"")
        self._received = bytearray()
        self._max_bytes = max_bytes
        self._captures = captures
        self._poll = select.poll()
        self._poll.register(self._comm, READABLE | (select.POLLOUT if self._unsent else 0))
        for fd in captures:
            self._poll.register(fd, READABLE)

    def go_on(self, deadline: float) -> bool:
        """Send, receive and collect until the answer is there; False at the deadline."""
        next_look = time.monotonic() + WATCH_S
        while not self._is_answered():
            now = time.monotonic()
            if now >= deadline:
                return False
            until = min(deadline, next_look) if self._is_watched else deadline
            for fd, event in self._poll.poll(max(0.0, until - now) * 1000 + 1):
                self._handle(fd, event)
            if self._is_watched and time.monotonic() >= next_look:
                self._cell.check_folder()
                next_look = time.monotonic() + WATCH_S
        return True

    def until(self, deadline: float, functions: Mapping[str, Function]) -> dict[str, Any] | None:
        """Return the answer, or None at the deadline; functions are called meanwhile."""
        while self.go_on(deadline):
            answer = self.answer()
            if "ask" not in answer:
                return answer
            began = time.monotonic()
            self.send(_call(functions, answer))
            deadline += time.monotonic() - began
        return None

    def ends_within(self, grace_s: float) -> bool:
        """Tell whether the interrupted interpreter still gives its answer. It may call nothing."""
        try:
            return self.until(time.monotonic() + grace_s, {}) is not None
        except CellEnded:
            return False

    @property
    def _is_watched(self) -> bool:
        # It is not before it has said how it is confined.
        return bool(self._cell.layers) and self._cell.is_watched

    def answer(self) -> dict[str, Any]:
        """Return it. Raises CellEnded for what is none."""
        try:
            return frames.decode(bytes(self._received[frames.HEAD.size :]))
        except ValueError:
            raise CellEnded from None

    def send(self, message: bytes) -> None:
        """Go on with another message, whose answer is awaited."""
        self._unsent = memoryview(message)
        self._received.clear()
        self._poll.modify(self._comm, READABLE | select.POLLOUT)

    def drain(self) -> None:
        """Collect what was printed before the answer, and lies in the pipes."""
        for fd, capture in self._captures.items():
            with suppress(BlockingIOError):
                for _ in range(PIPE_BYTES // READ_BYTES + 1):
                    capture.add(os.read(fd, READ_BYTES))

    def _is_answered(self) -> bool:
        head = frames.HEAD.size
        if len(self._received) < head:
            return False
        size = frames.HEAD.unpack(self._received[:head])[0]
        if size > self._max_bytes or len(self._received) > head + size:
            raise CellEnded  # not an answer to what was asked
        is_whole: bool = len(self._received) == head + size
        return is_whole

    def _handle(self, fd: int, event: int) -> None:
        if fd in self._captures:
            data = os.read(fd, READ_BYTES)
            self._captures[fd].add(data)
            # Closed by the code itself, or by its end; or a flood, which waits for its deadline.
            if not data or self._captures[fd].size > FLOOD_BYTES:
                self._poll.unregister(fd)
            return
        try:
            if event & select.POLLOUT:
                self._unsent = self._unsent[os.write(fd, self._unsent[:READ_BYTES]) :]
                if not self._unsent:
                    self._poll.modify(fd, READABLE)
            if event & READABLE:
                data = os.read(fd, READ_BYTES)
                if not data:
                    raise CellEnded
                self._received += data
        except (BrokenPipeError, ConnectionResetError):
            raise CellEnded from None
