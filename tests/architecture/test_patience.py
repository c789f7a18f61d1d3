import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE, patient

TESTS = Path(__file__).parents[1]
_WAITING = {"timeout", "wait"}
_SHORTEST_S = 4
"A shorter deadline than this is what its test is about."


def _deadlines(call: ast.Call) -> Iterator[ast.expr]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    is_mark = ast.unparse(call.func).startswith("pytest.mark.")  # conftest multiplies these
    if name in _WAITING and not is_mark:
        yield from call.args
    if name == "wait_for":
        yield from call.args[1:]
    yield from (keyword.value for keyword in call.keywords if keyword.arg == "timeout")


def impatient(source: str) -> list[int]:
    """Return the lines with deadlines that are numbers, and the same on every machine."""
    return sorted(
        deadline.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        for deadline in _deadlines(node)
        if isinstance(deadline, ast.Constant)
        and isinstance(deadline.value, int | float)
        and deadline.value >= _SHORTEST_S
    )


def test_every_deadline_that_ends_a_hopeless_wait_is_patient() -> None:
    found = {
        str(path.relative_to(TESTS)): lines
        for path in TESTS.rglob("*.py")
        if path.name != "screenshots.py"  # takes pictures, and tests nothing
        and (lines := impatient(path.read_text(encoding="utf-8")))
    }
    assert found == {}, "tests/patience.py has within() and patient() for these"


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("async with asyncio.timeout(10): pass", True),
        ("event.wait(20)", True),
        ("await asyncio.wait_for(task, 5)", True),
        ("process.communicate(timeout=30)", True),
        ("event.wait(patient(20))", False),
        ("async with asyncio.timeout(0.1): pass", False),
        ("@pytest.mark.timeout(300)\ndef test(): pass", False),
    ],
)
def test_impatient_deadlines_are_found(source: str, is_found: bool) -> None:
    assert bool(impatient(source)) is is_found


def test_the_limit_of_each_test_is_multiplied(request: pytest.FixtureRequest) -> None:
    limit = request.node.get_closest_marker("timeout")
    usual_s = float(request.config.getoption("timeout") or request.config.getini("timeout"))
    assert limit.args == (usual_s * PATIENCE,)
    assert patient(2) == 2 * PATIENCE


@pytest.mark.timeout(90)
def test_a_limit_of_its_own_is_multiplied_too(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("timeout").args == (90 * PATIENCE,)
