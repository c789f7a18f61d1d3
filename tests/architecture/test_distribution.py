"""What a wheel holds, and that it works where there is no checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this tree, built from a copy so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for path in filter(None, listed.splitlines()):
        if (ROOT / path).is_file():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, source / path)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    run = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    [built] = (source / "dist").glob("*.whl")
    return built


def test_a_wheel_holds_the_two_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"openenv", "openenv_core"}
    assert {"openenv/py.typed", "openenv/core/env_server/types.py"} <= set(names)
    assert [name for name in names if "_openenv_core" in name] == []


def test_a_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "openenv"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    # What the page is made of is not what is served.
    others = ("openenv/core/_openenv_core/", "openenv/webui/source/")
    expected = {path for path in listed.split() if not path.startswith(others)}
    held = set(zipfile.ZipFile(wheel).namelist())
    assert expected - held == set()
    assert "openenv/webui/static/index.html" in expected
    assert [path for path in held if path.startswith(others)] == []


def test_what_a_wheel_installs_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import openenv, openenv_core.client_types, openenv.core.client_types as real\n"
        "from openenv_core.env_server import Environment\n"
        "print(openenv.__file__)\n"
        "print(openenv_core.client_types is real, Environment is openenv.Environment)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.stdout.splitlines() == [
        str(tmp_path / "site/openenv/__init__.py"),
        "True True",
    ], run.stderr


@pytest.mark.parametrize("module", ["openenv", "openenv_core", "envs"])
def test_the_checkout_is_importable_from_anywhere(module: str, tmp_path: Path) -> None:
    code = f"import {module}; print({module}.__file__)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(run.stdout.strip()).is_relative_to(ROOT)
