"""A misspelt keyword is refused: no function accepts keywords that it never looks at."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "openenv").rglob("*.py")
    if "templates" not in path.parts
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def swallowing(source: str) -> list[str]:
    """Return the functions that have a body and never use their `**keywords`."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, Function)
        and node.args.kwarg is not None
        and not is_declaration(node)
        and node.args.kwarg.arg not in names_in(node)
    ]


def names_in(function: Function) -> set[str]:
    nodes = [node for statement in function.body for node in ast.walk(statement)]
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def is_declaration(function: Function) -> bool:
    """Whether a function only says what others implement, or refuses whatever it is given."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return all(isinstance(statement, ast.Raise) for statement in body)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def step(action, **_): return action", ["step"]),
        ("async def step(action, **options): return action", ["step"]),
        ("def step(action, **options): return act(action, **options)", []),
        ("def step(action, **options):\n    'A declaration.'", []),
        ("def step(action, **options): raise NotImplementedError", []),
    ],
)
def test_what_swallows_keywords_is_found(source: str, names: list[str]) -> None:
    assert swallowing(source) == names


@pytest.mark.parametrize("path", SOURCES)
def test_no_function_swallows_keywords(path: str) -> None:
    assert swallowing((ROOT / path).read_text(encoding="utf-8")) == []
