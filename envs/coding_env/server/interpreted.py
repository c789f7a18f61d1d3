"""Interpreted: the interpreter of smolagents in the sandbox's place, for what is compared with it.

It is no boundary: what it allows runs in this process, and a snippet that takes too long is waited
for. So it is refused unless the isolation is "unsafe" by name. What it does not know of Python, and
where it differs, is its own affair.
"""

from __future__ import annotations

import ast
import re
import time
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError
from openenv.sandbox import Limits, Outcome
from openenv.sandbox.outcome import Capture

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES_IN_FAILURES = re.compile(r"due to: (\w+)")


class Interpreted:
    """Takes what Sandbox takes, and is used like one; there are no files, and a seed does nothing.

    Raises ConfigurationError where smolagents is not installed, and unless `isolation` is "unsafe".
    """

    isolation = "unsafe"
    layers = ("smolagents",)

    def __init__(
        self,
        packages: Sequence[str] = (),
        limits: Limits | None = None,
        isolation: str | None = None,
        seed: int | None = None,
    ) -> None:
        if isolation != self.isolation:
            raise ConfigurationError(
                "the interpreter of smolagents confines nothing: executor='smolagents' needs "
                "isolation='unsafe', too"
            )
        try:
            # Late: an extra, and slow to import.
            from smolagents import local_python_executor  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"executor='smolagents' needs {error.name}: "
                "pip install 'openenv-coding[smolagents]'"
            ) from error
        self._library = local_python_executor
        self._imports = [name for package in packages for name in (package, f"{package}.*")]
        self._limits = limits or Limits()
        self.restart(seed)

    def restart(self, seed: int | None = None) -> None:
        """Begin anew with an empty namespace."""
        self._executor: Any = self._library.LocalPythonExecutor(self._imports)
        # Its builtins are there from then on.
        self._executor.send_tools({})

    def run(self, code: str, timeout_s: float) -> Outcome:
        """Run a snippet."""
        executor, began_s = self._executor, time.monotonic()
        executor.timeout_seconds, executor.state["_print_outputs"] = timeout_s, ""
        verdict: dict[str, Any] = {}
        try:
            value = executor(code).output
            if value is not None and _ends_in_expression(code):
                verdict["value"] = repr(value)[: self._limits.value_chars]
        except self._library.ExecutionTimeoutError as error:
            verdict = {"stderr": f"{error}\n", "exit_code": -1, "is_timeout": True}
        # The library turns what code raises into its own errors, but for what it overlooks.
        except Exception as error:  # noqa: BLE001
            named = NAMES_IN_FAILURES.search(str(error))
            name = named[1] if named else type(error).__name__
            verdict = {"stderr": f"{error}\n", "exit_code": 1, "error": name}
        printed = Capture(self._limits.output_bytes)
        printed.add(str(executor.state["_print_outputs"]).encode("utf-8", "replace"))
        return Outcome(stdout=printed.text(), duration_s=time.monotonic() - began_s, **verdict)

    def read_file(self, path: str) -> bytes:
        """Raise OSError: there are none."""
        raise OSError(f"cannot read {path!r}: executor='smolagents' has no files")

    def write_file(self, path: str, data: bytes) -> None:
        """Raise OSError: there can be none."""
        raise OSError(f"cannot write {path!r}: executor='smolagents' has no files")

    def close(self) -> None:
        """Do nothing: it is all in this process."""


def _ends_in_expression(code: str) -> bool:
    body = ast.parse(code).body
    return bool(body) and isinstance(body[-1], ast.Expr)
