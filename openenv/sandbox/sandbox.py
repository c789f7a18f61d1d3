"""Sandbox: runs snippets of untrusted Python one after another, in one namespace.

Knows nothing of environments. How it is confined is in isolation.py and inside/confinement.py.
"""

from __future__ import annotations

import base64
import itertools
import os
import time
from typing import TYPE_CHECKING, Any, Self

from openenv.sandbox import folder as folders
from openenv.sandbox.cell import Cell, CellEnded, CellTimeout, DiskFull
from openenv.sandbox.isolation import Isolation, SandboxError, SandboxUnavailable, kinds
from openenv.sandbox.limits import Limits
from openenv.sandbox.outcome import Capture, Outcome
from openenv.sandbox.zygotes import end_own_zygote, zygote_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openenv.sandbox.zygote import ZygoteProcess

DEFAULT_TIMEOUT_S = 30.0
FILE_S = 10.0
# Beyond the value's characters, each of which JSON may write as twelve, and the class of the error.
ANSWER_BYTES = 1 << 16

_numbers = itertools.count()


class Sandbox:
    """A Python interpreter in a process of its own, which can do no harm.

    `packages` are imported before the first snippet and may be used in all of them, besides the
    standard library. `isolation` names a kind (see isolation.py) instead of the best that holds
    here; "unsafe" runs code without any that does. Raises SandboxUnavailable where none holds, and
    SandboxError for packages that do not import. Close it; `with` does.

    Not to be used by two threads at the same time.
    """

    def __init__(
        self,
        packages: tuple[str, ...] = ("numpy",),
        limits: Limits | None = None,
        isolation: str | None = None,
        seed: int | None = None,
    ) -> None:
        self.packages = packages
        self.limits = limits or Limits()
        self._number = next(_numbers)
        self._runs = 0
        self._zygote: ZygoteProcess | None = None
        self._cell: Cell | None = None
        self._kind: Isolation | None = None
        self._wanted = isolation
        self.restart(seed)

    def restart(self, seed: int | None = None) -> None:
        """Begin anew: an empty namespace, an empty folder, and random numbers by the seed."""
        self._discard_cell()
        self._seed = seed
        if self._kind is None:
            self._kind, self._cell = self._begin()
        else:
            self._cell = self._start(self._kind)

    @property
    def layers(self) -> tuple[str, ...]:
        """What stands between the code and the machine, as the sandbox itself has found."""
        assert self._kind is not None
        layers = () if self._cell is None else self._cell.layers
        more = ["namespaces"] if self._kind.is_wrapped else []
        return (*more, *layers, "deadline", *(() if "tmpfs" in layers else ("watcher",)))

    @property
    def isolation(self) -> str:
        """The kind of isolation that holds."""
        assert self._kind is not None
        return self._kind.name

    def run(
        self,
        code: str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Outcome:
        """Run a snippet; whatever it does is in the outcome.

        After `timeout_s` it is interrupted, as by Ctrl-C; if it goes on, it is killed, and the
        variables are lost. `functions` may be called by the snippet and run out here: they take and
        return what JSON has, and their time does not count. Whatever they are given was made by
        untrusted code. Raises SandboxError if the sandbox itself fails.
        """
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be positive, not {timeout_s}")
        size = len(code.encode("utf-8", "surrogatepass"))
        if size > self.limits.code_bytes:
            said = f"the code has {size:,} bytes, and may have {self.limits.code_bytes:,}\n"
            return Outcome(stderr=said, exit_code=1, error="CodeTooLong")
        began = time.monotonic()
        captures = Capture(self.limits.output_bytes), Capture(self.limits.output_bytes)
        verdict = self._verdict(code, timeout_s, captures, functions or {})
        said = verdict.pop("said", "")
        stdout, stderr = (capture.text() for capture in captures)
        if said and stderr and not stderr.endswith("\n"):
            stderr += "\n"
        return Outcome(
            stdout=stdout,
            stderr=stderr + said,
            duration_s=time.monotonic() - began,
            **verdict,
        )

    def read_file(self, path: str) -> bytes:
        """Return a file of the sandbox's folder. Raises OSError for what its code may not read."""
        reply = self._ask({"do": "read", "path": path})
        data = reply.get("data")
        if not isinstance(data, str):
            raise OSError(f"cannot read {path!r} in the sandbox: {reply.get('error')}")
        return base64.b64decode(data)

    def write_file(self, path: str, data: bytes) -> None:
        """Write a file, and the folders above it. Raises OSError where its code may not write."""
        if len(data) > self.limits.file_bytes:
            most = f"it may have {self.limits.file_bytes:,} bytes"
            raise OSError(f"cannot write {path!r} into the sandbox: {most}")
        encoded = base64.b64encode(data).decode("ascii")
        reply = self._ask({"do": "write", "path": path, "data": encoded})
        if "error" in reply:
            raise OSError(f"cannot write {path!r} in the sandbox: {reply['error']}")

    def close(self) -> None:
        """End the interpreter and remove its folder. May be called again."""
        self._discard_cell()
        if self._zygote is not None:
            folders.remove(os.path.join(self._zygote.folder, str(self._number)))
            end_own_zygote(self._zygote)

    def __enter__(self) -> Self:
        """Return the sandbox, which is ready."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    # ---- how it begins and ends

    def _begin(self) -> tuple[Isolation, Cell]:
        """Return the first kind of isolation that holds, and an interpreter in it."""
        lacking = []
        for kind in kinds(self._wanted):
            reason = kind.obstacle()
            if reason is None:
                try:
                    cell = self._start(kind)
                except SandboxError as error:
                    if self._zygote is None:
                        raise
                    reason = str(error)
                else:
                    missing = kind.layers - set(cell.layers)
                    if not missing:
                        return kind, cell
                    cell.end()
                    reason = f"no {', '.join(sorted(missing))} here"
            lacking.append(f"{kind.name}: {reason}")
        raise SandboxUnavailable(
            f"untrusted code cannot be confined here: {'; '.join(lacking)}. Run it where one of "
            'these holds; isolation="unsafe" runs it without'
        )

    def _start(self, kind: Isolation) -> Cell:
        self._zygote = zygote_for(self.packages, kind, self.limits.disk_bytes, self._zygote)
        folder = os.path.join(self._zygote.folder, str(self._number))
        return Cell(self._zygote, folder, self.limits, self._seed, kind.without)

    def _end_cell(self) -> int:
        cell, self._cell = self._cell, None
        return 0 if cell is None else cell.end()

    def _discard_cell(self) -> None:
        cell, self._cell = self._cell, None
        if cell is not None:
            cell.discard()

    # ---- what it is asked

    def _living(self) -> Cell:
        """Return the interpreter; a new one if the last one has been lost."""
        if self._cell is None:
            self.restart(self._seed)
        assert self._cell is not None
        return self._cell

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._living().ask(request, FILE_S, 2 * self.limits.file_bytes + ANSWER_BYTES)
        except (CellEnded, CellTimeout, DiskFull) as error:
            self._end_cell()
            raise OSError(f"the sandbox has ended: {type(error).__name__}") from None

    def _verdict(
        self,
        code: str,
        timeout_s: float,
        captures: tuple[Capture, Capture],
        functions: Mapping[str, Callable[..., Any]],
    ) -> dict[str, Any]:
        """Run a snippet; return what the outcome has besides output, and what stderr adds."""
        most = 12 * self.limits.value_chars + ANSWER_BYTES
        if functions:
            most = max(most, 2 * self.limits.file_bytes)
        cell = self._living()
        try:
            request = {"do": "run", "code": code, "functions": list(functions)}
            reply = cell.ask(request, timeout_s, most, captures, functions)
            cell.check_folder()
            return _checked(reply)
        except CellTimeout as timeout:
            if not timeout.is_alive:
                self._end_cell()
            return {
                "said": f"Execution timed out after {timeout_s:g} s{_lost(not timeout.is_alive)}",
                "exit_code": -1,
                "is_timeout": True,
                "variables_lost": not timeout.is_alive,
            }
        except DiskFull:
            self._end_cell()
            said = f"The folder is full: it may hold {self.limits.disk_bytes:,} bytes"
            return {"said": said + _lost(True), "exit_code": 137, "variables_lost": True}
        except CellEnded:
            exit_code = self._end_cell()
            said = f"The interpreter has ended with exit code {exit_code}{_lost(True)}"
            return {"said": said, "exit_code": exit_code, "variables_lost": True}


def _lost(is_lost: bool) -> str:
    return "; its variables and files are lost\n" if is_lost else "; its variables are kept\n"


def _checked(reply: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as the interpreter gives it. Raises CellEnded for a forged one."""
    exit_code, value, error = (reply.get(key) for key in ("exit_code", "value", "error"))
    are_texts = all(one is None or isinstance(one, str) for one in (value, error))
    if type(exit_code) is not int or not 0 <= exit_code <= 255 or not are_texts:
        raise CellEnded
    return {"exit_code": exit_code, "value": value, "error": error}
