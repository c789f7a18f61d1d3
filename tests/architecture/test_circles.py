"""No circle of files: whoever reads a file top-down never comes back to it by its imports.

Every import counts: also those inside functions and those for type checkers only.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("openenv",)


def modules_of(package: str) -> dict[str, Path]:
    """Module name -> file, for all modules of a package."""
    folder = ROOT.joinpath(*package.split("."))
    modules = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def imports_of(source: str, modules: set[str]) -> set[str]:
    """Return which of the modules a source imports, wherever in the source."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in modules else node.module)
    return found & modules


def circles_in(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules each of which imports all others of its group, if indirectly."""
    reached = {name: reachable_from(name, graph) for name in graph}
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in graph
        if name in reached[name]
    }
    return [list(group) for group in sorted(groups)]


def reachable_from(start: str, graph: dict[str, set[str]]) -> set[str]:
    """Return what a module imports, directly or not; itself only if it is part of a circle."""
    reached: set[str] = set()
    left = list(graph[start])
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left.extend(graph[name])
    return reached


def test_a_circle_is_found_wherever_its_imports_stand() -> None:
    sources = {
        "p": "",
        "p.top": "from p.nested import thing",
        "p.nested": "def call():\n    import p.typed",
        "p.typed": "if TYPE_CHECKING:\n    from p import top",
        "p.user": "from p.top import thing",
    }
    graph = {name: imports_of(source, set(sources)) for name, source in sources.items()}
    assert circles_in(graph) == [["p.nested", "p.top", "p.typed"]]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_files_of_a_package_import_each_other_in_a_circle(package: str) -> None:
    modules = modules_of(package)
    graph = {
        name: imports_of(path.read_text(encoding="utf-8"), set(modules))
        for name, path in modules.items()
    }
    assert circles_in(graph) == []
