"""A class name stands for one class, so that a search for it finds one definition."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]

COMPATIBILITY = ROOT / "openenv" / "core"
"Has former names on purpose, of pydantic models beside ours."


def definitions() -> dict[str, list[str]]:
    """Return where each class of the package is defined, private ones included."""
    places = defaultdict(list)
    for path in sorted((ROOT / "openenv").rglob("*.py")):
        if COMPATIBILITY in path.parents or "templates" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))
    return places


def test_no_two_classes_have_the_same_name() -> None:
    places = definitions()
    assert "OpenEnvError" in places
    twice = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert twice == {}
