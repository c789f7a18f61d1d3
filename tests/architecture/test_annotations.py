"""How many annotations of the server and the protocol say nothing but `Any`.

Counted are parameters (but self and cls), returns, and annotated variables and fields. Only an
annotation that is `Any` itself counts as bare: `dict[str, Any]` and `Any | None` say something.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CEILINGS = {
    "protocol": 5.0,
    "server": 5.0,
    "server/http": 5.0,
    "server/links": 4.9,
    "server/runners": 5.0,
    "server/sessions": 5.0,
    "server/watching": 5.0,
    "server/workers": 5.0,
}
"Room -> the greatest share of bare `Any`, in percent. Lower a ceiling when its room gets better."

AIM = 5.0
"No ceiling needs to be below this."


def room_of(path: Path) -> str:
    """Return the folder of a file; what lies in server/ itself is the room "server"."""
    return str(path.parent.relative_to(ROOT / "openenv"))


def annotations(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            every += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
            yield from (one.annotation for one in every if one.annotation is not None)
            if node.returns is not None:
                yield node.returns
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation


def is_bare(annotation: ast.expr) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id == "Any"


def shares() -> dict[str, float]:
    """Return the share of bare `Any` of each room, in percent."""
    counts: dict[str, list[bool]] = {}
    for part in ("server", "protocol"):
        for path in sorted((ROOT / "openenv" / part).rglob("*.py")):
            found = annotations(ast.parse(path.read_text(encoding="utf-8")))
            counts.setdefault(room_of(path), []).extend(map(is_bare, found))
    return {room: 100 * sum(bare) / len(bare) for room, bare in counts.items() if bare}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a: Any, *b: Any, c: Any = 1, **d: Any) -> Any: ...", [True] * 5),
        ("async def f(a: int, /, b: dict[str, Any]) -> Any | None: ...", [False] * 3),
        ("x: Any = 1", [True]),
        ("class A:\n    x: list[Any]\n    def f(self): ...", [False]),
    ],
)
def test_what_counts_as_bare(source: str, expected: list[bool]) -> None:
    assert [is_bare(one) for one in annotations(ast.parse(source))] == expected


def test_every_room_has_a_ceiling() -> None:
    assert set(CEILINGS) == set(shares())


@pytest.mark.parametrize("room", CEILINGS)
def test_a_room_has_no_more_bare_any_than_its_ceiling(room: str) -> None:
    assert shares()[room] <= max(CEILINGS[room], AIM)
