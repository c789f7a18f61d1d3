"""What modules say they export is there, and the lazy table of `openenv` is the whole truth."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import openenv

ROOT = Path(__file__).parents[2]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(openenv.__path__, "openenv.")
    if ".templates" not in module.name and "._openenv_core" not in module.name
]


@pytest.mark.parametrize("name", MODULES)
def test_every_exported_name_exists_once(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert len(exported) == len(set(exported))
    assert not [one for one in exported if not hasattr(module, one)]


def test_every_public_name_resolves_and_is_listed() -> None:
    for name in openenv.__all__:
        assert getattr(openenv, name) is not None
    assert set(openenv.__all__) <= set(dir(openenv))


def test_type_checkers_see_exactly_the_lazy_names() -> None:
    tree = ast.parse(Path(openenv.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen == openenv._LAZY
    assert {*seen, "__version__"} == set(openenv.__all__)


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="'openenv' has no attribute 'Enviroment'"):
        openenv.Enviroment  # noqa: B018 (looking it up is the point)


def test_the_version_is_the_distribution_s() -> None:
    assert openenv.__version__.startswith("1.")


@pytest.mark.parametrize(("missing", "name"), [("starlette", "create_app"), ("uvicorn", "serve")])
def test_a_missing_extra_is_named(missing: str, name: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import openenv; openenv.{name}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].endswith("pip install 'openenv[server]'")


def test_a_missing_module_that_no_extra_installs_is_reported_as_it_is() -> None:
    code = "import sys; sys.modules['msgspec'] = None; import openenv; openenv.StepResult"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "msgspec" in run.stderr.splitlines()[-1]
    assert "pip install" not in run.stderr
