"""How large files and functions may grow, and what no tracked file may name."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE_LINES = 400
FUNCTION_LINES = 50
COMPATIBILITY_LINES = 15
COMPATIBILITY_EXCEPTIONS = {
    "openenv/core/env_server/types.py",  # pydantic's models exist nowhere else
    "openenv/core/_openenv_core/__init__.py",  # makes the former import name, re-exports nothing
}


def tracked(*patterns: str) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for path in out.splitlines() if (ROOT / path).is_file()]


SOURCES = [
    path
    for path in tracked("openenv/*.py", "envs/*.py", "benchmarks/peers/*.py")
    if "/templates/" not in path
]


def lines_of_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_there_are_sources_to_check() -> None:
    assert "openenv/errors.py" in SOURCES


@pytest.mark.parametrize("path", SOURCES)
def test_a_file_can_be_read_in_one_sitting(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text.count("\n") <= FILE_LINES
    long = {
        node.name: lines_of_body(node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of_body(node) > FUNCTION_LINES
    }
    assert not long


@pytest.mark.parametrize("path", [path for path in SOURCES if path.startswith("openenv/core/")])
def test_a_compatibility_file_only_re_exports(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    if path not in COMPATIBILITY_EXCEPTIONS:
        assert tree.body[-1].end_lineno is not None
        assert tree.body[-1].end_lineno <= COMPATIBILITY_LINES
        assert not [node for node in tree.body if isinstance(node, ast.ClassDef)]


def test_no_file_names_a_registry_or_the_machine_it_was_written_on() -> None:
    dot = re.escape(".")
    hosts = [("pypi", "org"), ("pythonhosted", "org"), ("deb", "debian", "org")]
    hosts += [("registry", "npmjs", "org"), ("registry", "npmmirror", "com")]
    places = [re.escape(str(ROOT) + "/"), re.escape(str(Path.home()) + "/.")]
    forbidden = re.compile("|".join([dot.join(host) for host in hosts] + places))

    found = []
    for path in tracked():
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), 1)
            if forbidden.search(line)
        ]
    assert not found
