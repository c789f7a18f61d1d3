"""The coding environment on the interpreter of smolagents, which is no boundary."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from envs.coding_env import CodeAction
from envs.coding_env.server.environment import CodingEnvironment
from openenv.errors import ConfigurationError


@pytest.fixture
def interpreted() -> Iterator[CodingEnvironment]:
    environment = CodingEnvironment(executor="smolagents", isolation="unsafe")
    environment.reset()
    yield environment
    environment.close()


def test_smolagents_keeps_variables_and_shows_what_is_printed(
    interpreted: CodingEnvironment,
) -> None:
    first = interpreted.step(CodeAction(code="x = 6 * 7\nprint('hi')\nx"))
    assert (first.stdout, first.value, first.exit_code) == ("hi\n", "42", 0)
    assert interpreted.step(CodeAction(code="y = x + 1")).value is None
    assert interpreted.step(CodeAction(code="y")).value == "43"
    interpreted.reset()
    assert interpreted.step(CodeAction(code="y")).exit_code == 1


@pytest.mark.parametrize(
    ("code", "error", "printed"),
    [
        ("print('before')\n1 / 0", "ZeroDivisionError", "before\n"),
        ("import os", "InterpreterError", ""),
        ("x ===", "SyntaxError", ""),
    ],
)
def test_smolagents_says_what_failed(
    interpreted: CodingEnvironment, code: str, error: str, printed: str
) -> None:
    seen = interpreted.step(CodeAction(code=code))
    assert (seen.exit_code, seen.error, seen.stdout) == (1, error, printed)
    assert error in seen.stderr


def test_smolagents_tells_of_a_timeout(interpreted: CodingEnvironment) -> None:
    seen = interpreted.step(CodeAction(code="import time\ntime.sleep(0.3)", timeout=0.1))
    assert seen.exit_code == -1


def test_smolagents_rewards_what_passes_the_tests(interpreted: CodingEnvironment) -> None:
    interpreted.reset(tests=["square(3) == 9", "square(2) == 5"])
    seen = interpreted.step(CodeAction(code="def square(x):\n    return x * x"))
    assert (seen.reward, seen.tests_passed) == (0.5, 1)


def test_smolagents_has_no_files(interpreted: CodingEnvironment) -> None:
    assert "no files" in interpreted.step(CodeAction(code="1", files=["a"])).stderr
    with pytest.raises(OSError, match="no files"):
        interpreted.reset(files={"a": "text"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "smolagents"}, "isolation='unsafe'"),
        ({"executor": "smolagents", "isolation": "landlock"}, "isolation='unsafe'"),
        ({"executor": "smolagents", "isolation": "unsafe", "lint": True}, "lint needs"),
        ({"executor": "docker"}, "sandbox or smolagents"),
    ],
)
def test_an_executor_that_cannot_be_had_so_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CodingEnvironment(**options)


def test_without_smolagents_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smolagents", None)
    with pytest.raises(ConfigurationError, match=r"openenv-coding\[smolagents\]"):
        CodingEnvironment(executor="smolagents", isolation="unsafe")
