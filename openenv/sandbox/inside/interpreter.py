"""The interpreter in the sandbox: runs snippets one after another, in one namespace.

Knows nothing of how it is confined, nor of deadlines: cell.py sends SIGINT, then SIGKILL.
"""

from __future__ import annotations

import ast
import base64
import builtins
import io
import linecache
import os
import random
import signal
import sys
import threading
import types
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from openenv.sandbox import frames
from openenv.sandbox.inside.traces import format_error

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED = 1
# The descriptor of requests and answers.
COMM = 3


class Interpreter:
    """A namespace, which is that of `__main__`, and what is done in it."""

    def __init__(self, value_chars: int = 10_000, file_bytes: int = 1 << 20) -> None:
        self.value_chars = value_chars
        self.file_bytes = file_bytes
        self.main = types.ModuleType("__main__")
        self.main.__dict__["__builtins__"] = builtins
        self.count = 0
        self.folder = os.getcwd()
        self.asking = threading.Lock()
        self.may_interrupt = True
        self.is_interrupted = False

    def serve(self) -> None:
        """Answer requests until there are no more."""
        sys.modules["__main__"] = self.main
        sys.argv = [""]
        self.folder = os.getcwd()
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the process's own
        while (request := frames.read(COMM)) is not None:
            answer = getattr(self, f"do_{request.pop('do')}")
            try:
                reply = answer(**request)
            except KeyboardInterrupt:
                # The deadline came in the moment when the snippet was over.
                reply = {"exit_code": FAILED, "value": None, "error": "KeyboardInterrupt"}
            frames.write(COMM, reply)

    def do_run(self, code: str, functions: list[str]) -> dict[str, Any]:
        """Run a snippet; its exit code, the last expression's value and the class of its error."""
        self.count += 1
        for name in functions:
            self.main.__dict__[name] = self._asking(name)
        filename = f"<snippet {self.count}>"
        # So that tracebacks and inspect.getsource show its lines.
        linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
        sys.stdout, sys.stderr = _stream(1), _stream(2)
        exit_code, value, error = 0, None, None
        self.is_interrupted = False
        signal.signal(signal.SIGINT, self._interrupt)
        try:
            value = self._execute(code, filename)
        except SystemExit as request:
            exit_code = _exit_code(request.code)
        except BaseException as raised:  # noqa: BLE001 - whatever a snippet raises is its result
            exit_code, error = FAILED, type(raised).__name__
            _stream(2).write(format_error(raised, self.folder))
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            _flush()
        return {"exit_code": exit_code, "value": value, "error": error}

    def do_read(self, path: str) -> dict[str, Any]:
        """Read a file, as the code could."""
        try:
            with open(path, "rb") as file:
                data = file.read(self.file_bytes + 1)
        except (OSError, ValueError) as error:
            return {"error": _reason(error)}
        if len(data) > self.file_bytes:
            return {"error": f"it has more than {self.file_bytes:,} bytes"}
        return {"data": base64.b64encode(data).decode("ascii")}

    def do_write(self, path: str, data: str) -> dict[str, Any]:
        """Write a file, as the code could, and the folders above it."""
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(base64.b64decode(data))
        except (OSError, ValueError) as error:
            return {"error": _reason(error)}
        return {}

    def _interrupt(self, *_: object) -> None:
        """Interrupt the snippet; in the middle of an exchange, when that is over."""
        self.is_interrupted = True
        if self.may_interrupt:
            raise KeyboardInterrupt

    def _asking(self, name: str) -> Callable[..., Any]:
        """Return a function that is called outside, with arguments and a result of JSON."""

        def ask(*arguments: Any, **options: Any) -> Any:
            is_main = threading.current_thread() is threading.main_thread()
            with self.asking:
                self.may_interrupt = not is_main
                try:
                    frames.write(COMM, {"ask": name, "arguments": arguments, "options": options})
                    reply = frames.read(COMM) or {}
                finally:
                    self.may_interrupt = True
            if is_main and self.is_interrupted:
                raise KeyboardInterrupt
            if "error" in reply:
                raise RuntimeError(reply["error"])
            return reply.get("value")

        ask.__name__ = ask.__qualname__ = name
        return ask

    def _execute(self, code: str, filename: str) -> str | None:
        """Run a snippet in the namespace; return what its last expression is, unless None."""
        tree = ast.parse(code, filename)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, filename, "exec", dont_inherit=True), self.main.__dict__)
        if not isinstance(last, ast.Expr):
            return None
        expression = ast.Expression(last.value)
        value = eval(compile(expression, filename, "eval", dont_inherit=True), self.main.__dict__)
        return None if value is None else self._shortened(repr(value))

    def _shortened(self, text: str) -> str:
        left_out = len(text) - self.value_chars
        return text if left_out <= 0 else f"{text[: self.value_chars]}... {left_out:,} more"


def begin_random_numbers(seed: int | None) -> None:
    """Begin them anew: those of Python, and of numpy if it is loaded."""
    random.seed(seed)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(None if seed is None else seed % 2**32)


def _stream(fd: int) -> TextIO:
    """Return a stream to a descriptor: the snippet before may have closed or replaced the last."""
    raw = io.FileIO(fd, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", errors="backslashreplace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # the snippet's own stream: closed, or not even one
            stream.flush()


def _exit_code(code: Any) -> int:
    """Return what a process would exit with, and print what it would print."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    with _stream(2) as stderr:
        stderr.write(f"{code}\n")
    return FAILED


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
