"""What a snippet is worth by tests and by looking at it: Grader.

It has a sandbox of its own, empty for each snippet: what an episode has left behind, or prepared
for whoever comes to look, is not there.
"""

from __future__ import annotations

import ast
import time
from dataclasses import dataclass, replace
from typing import Any

from openenv.sandbox import Limits, Sandbox

# Messages of pyflakes, in one list, of code that is in a variable.
LINT = """
import ast, pyflakes.checker
[f"line {one.lineno}: {one.message % one.message_args}"
 for one in sorted(pyflakes.checker.Checker(ast.parse(CODE)).messages, key=lambda one: one.lineno)]
"""
MAX_WARNINGS = 20
LINT_S = 10.0
# Values of tests may be longer than those that are shown.
VALUE_CHARS = 100_000


@dataclass(frozen=True)
class Check:
    """A test: code to run, and what its last expression must be, if that is known."""

    code: str
    expected: Any = None
    is_compared: bool = False

    @classmethod
    def parse(cls, source: str) -> Check:
        """Make one of `assert f(2) == 4`, of `f(2) == 4`, or of any other code.

        Where the right side is a literal it never enters the sandbox: no code can make itself equal
        to what it does not know. Other tests pass if they raise nothing, or are true. Raises
        SyntaxError.
        """
        tree = ast.parse(source)
        last = tree.body.pop() if tree.body else None
        if not isinstance(last, ast.Assert | ast.Expr):
            return cls(source)
        before = ast.unparse(tree)
        asked = last.test if isinstance(last, ast.Assert) else last.value
        if isinstance(asked, ast.Compare) and [type(one) for one in asked.ops] == [ast.Eq]:
            expected = _literal(asked.comparators[0])
            if expected is not None:
                return cls(f"{before}\n{ast.unparse(asked.left)}", expected[0], is_compared=True)
        return cls(f"{before}\nbool({ast.unparse(asked)})", expected=True, is_compared=True)

    def passes(self, sandbox: Sandbox, timeout_s: float) -> bool:
        """Tell whether it passes after what has run in a sandbox."""
        outcome = sandbox.run(self.code, timeout_s)
        if outcome.exit_code != 0 or not self.is_compared:
            return outcome.exit_code == 0
        try:
            value = ast.literal_eval(outcome.value or "None")
            return bool(value == self.expected)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return False


class Grader:
    """Runs each snippet alone, with the files that the episode began with, and tests it.

    `is_linting` looks for what pyflakes finds, too. Close it.
    """

    def __init__(
        self,
        packages: tuple[str, ...],
        limits: Limits,
        isolation: str | None,
        executor: type[Sandbox] = Sandbox,
        is_linting: bool = False,
    ) -> None:
        self.is_linting = is_linting
        self._packages = (*packages, *(("pyflakes",) if is_linting else ()))
        self._limits = replace(limits, value_chars=max(limits.value_chars, VALUE_CHARS))
        self._isolation = isolation
        self._executor = executor
        self._sandbox: Sandbox | None = None
        self._checks: list[Check] = []
        self._files: dict[str, str] = {}

    def begin(self, tests: list[str], files: dict[str, str]) -> None:
        """Take the tests of an episode. Raises ValueError for what is no Python."""
        for test in tests:
            try:
                ast.parse(test)
            except SyntaxError as error:
                raise ValueError(f"the test {test!r} is no Python: {error}") from None
        self._checks, self._files = [Check.parse(test) for test in tests], files

    def grade(self, code: str, timeout_s: float) -> tuple[int | None, list[str]]:
        """Return how many tests pass after a snippet, None without tests, and warnings."""
        if not self._checks and not self.is_linting:
            return None, []
        sandbox = self._empty_sandbox()
        warnings = self._warnings(sandbox, code) if self.is_linting else []
        if not self._checks:
            return None, warnings
        for path, text in self._files.items():
            sandbox.write_file(path, text.encode())
        deadline = time.monotonic() + timeout_s
        if sandbox.run(code, timeout_s).exit_code != 0:
            return 0, warnings
        passed = 0
        for check in self._checks:
            left_s = deadline - time.monotonic()
            passed += left_s > 0 and check.passes(sandbox, left_s)
        return passed, warnings

    def close(self) -> None:
        """End the sandbox."""
        if self._sandbox is not None:
            self._sandbox.close()

    def _empty_sandbox(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = self._executor(self._packages, self._limits, self._isolation, seed=0)
        else:
            self._sandbox.restart(seed=0)
        return self._sandbox

    def _warnings(self, sandbox: Sandbox, code: str) -> list[str]:
        """Look at code without running it, but in the sandbox: parsers have faults, too."""
        outcome = sandbox.run(f"CODE = {code!r}\n{LINT}", LINT_S)
        if outcome.error == "SyntaxError":
            return ["the code is no Python"]
        found = ast.literal_eval(outcome.value) if outcome.value else []
        sandbox.run("del ast, pyflakes, CODE")
        return list(map(str, found[:MAX_WARNINGS]))


def _literal(node: ast.expr) -> tuple[Any] | None:
    """Return the value of a literal, in a tuple of its own; None if it is none."""
    try:
        return (ast.literal_eval(node),)
    except ValueError:
        return None
