"""`openenv init` makes an environment that is whole, well written, and the user's from then on."""

import asyncio
import re
import subprocess
import sys
import tomllib
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from openenv.cli import scaffold
from openenv.cli.main import app
from openenv.cli.scaffold import Names, Template, write_environment
from openenv.errors import ConfigurationError
from openenv.manifest import examine_manifest
from tests.patience import within
from tests.processes import serving_process

LAYOUT = """\
.dockerignore
README.md
__init__.py
client.py
models.py
openenv.yaml
pyproject.toml
server/Dockerfile
server/__init__.py
server/app.py
server/my_environment.py
tests/__init__.py
tests/test_my_env.py
"""


def openenv(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, prog_name="openenv")


def files_below(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def test_it_makes_the_layout_of_an_environment_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = openenv("init", "my_env")
    assert run.exit_code == 0, run.output
    assert files_below(tmp_path / "my_env") == [Path(line) for line in LAYOUT.splitlines()]
    for line in ("cd my_env", "openenv validate .", "openenv serve .", "openenv build ."):
        assert f"  {line}" in run.output
    assert "server/my_environment.py" in run.output


def test_the_folder_may_be_made_elsewhere(tmp_path: Path) -> None:
    run = openenv("init", "my_env", "-o", str(tmp_path / "a/b"))
    assert run.exit_code == 0, run.output
    assert (tmp_path / "a/b/my_env/openenv.yaml").is_file()


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "my_env").mkdir()
    assert openenv("init", "my_env", "-o", str(tmp_path)).exit_code == 0


@pytest.mark.parametrize(
    "name",
    [
        "my-env",
        "1env",
        "my env",
        "",
        "class",
        "größe_env",
        "_env",
        "my_",
        "../up",
        "msgspec",
        "pytest",
        "yaml",
        "json",
        "openenv",
    ],
)
def test_what_is_no_name_is_a_wrong_command_line(tmp_path: Path, name: str) -> None:
    run = openenv("init", name, "-o", str(tmp_path))
    assert run.exit_code == 2
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError):
        write_environment(name, tmp_path / "x")


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_exists_is_left_alone(tmp_path: Path, is_folder: bool) -> None:
    target = tmp_path / "my_env"
    kept = target / "kept" if is_folder else target
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    run = openenv("init", "my_env", "-o", str(tmp_path))
    assert run.exit_code == 1
    assert "exists and is not an empty folder" in run.output
    assert files_below(tmp_path) == [kept.relative_to(tmp_path)]
    assert kept.read_text() == "mine"


def test_what_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(scaffold.os, "rename", interrupt)
    run = openenv("init", "my_env", "-o", str(tmp_path))
    assert run.exit_code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "stem", "prefix", "title"),
    [
        ("my_env", "my", "My", "My environment"),
        ("grid_world_env", "grid_world", "GridWorld", "Grid world environment"),
        ("snake", "snake", "Snake", "Snake environment"),
        ("TicTacToe", "TicTacToe", "TicTacToe", "TicTacToe environment"),
        ("connect4_env", "connect4", "Connect4", "Connect4 environment"),
    ],
)
def test_a_name_gives_all_others(name: str, stem: str, prefix: str, title: str) -> None:
    names = Names(name)
    assert (names.stem, names.prefix, names.title) == (stem, prefix, title)


@pytest.fixture(params=Template)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_environment("grid_world_env", tmp_path / "grid_world_env", request.param)
    return tmp_path / "grid_world_env"


def test_files_are_filled_in_and_end_their_lines_with_lf(folder: Path) -> None:
    for path in files_below(folder):
        data = (folder / path).read_bytes()
        assert not re.search(rb"@\w+@", data), path
        assert b"\r" not in data
        assert data.endswith(b"\n")
        assert path.suffix not in (".pyc", ".in")


def test_nothing_is_wrong_with_the_manifest(folder: Path) -> None:
    manifest, problems = examine_manifest(folder)
    assert problems == []
    assert (manifest.name, manifest.stem) == ("grid_world_env", "grid-world")
    assert manifest.client == "client:GridWorldEnv"


def test_what_may_hold_secrets_stays_out_of_its_image(folder: Path) -> None:
    left_out = (folder / ".dockerignore").read_text().splitlines()
    assert {"**/.env", "**/.env.*"} <= set(left_out)


def test_the_project_can_be_found_by_its_entry_point(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "openenv-grid_world_env"
    assert project["scripts"] == {"server": "grid_world_env.server.app:main"}
    assert project["entry-points"]["openenv.envs"] == {"grid_world_env": "grid_world_env"}


def test_the_code_is_formatted_and_linted(folder: Path) -> None:
    ruff = (sys.executable, "-m", "ruff")
    rules = "E,F,W,I,UP,B,C4,SIM,RUF,TC"
    evaluated = "lint.flake8-type-checking.runtime-evaluated-decorators=['dataclasses.dataclass']"
    checks = (
        "check",
        "--isolated",
        "--line-length=100",
        f"--select={rules}",
        "--config",
        evaluated,
    )
    for command in (("format", "--isolated", "--line-length=100", "--check"), checks):
        run = subprocess.run([*ruff, *command, folder], capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr


def test_its_own_tests_pass_wherever_they_are_run(folder: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    for cwd in (folder, folder.parent):
        run = subprocess.run([*command, folder / "tests"], cwd=cwd, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout
        assert " 13 passed" in f" {run.stdout.splitlines()[-1]}"


async def test_the_quick_start_of_its_readme_plays_an_episode(folder: Path) -> None:
    readme = (folder / "README.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    async with serving_process(".", "--port", "0", cwd=folder) as (_, url):
        program = program.replace("http://127.0.0.1:8000", url)
        command = (sys.executable, "-c", program)
        process = await asyncio.create_subprocess_exec(*command, cwd=folder.parent, stdout=PIPE)
        async with within(30):
            out, _ = await process.communicate()
    assert process.returncode == 0
    assert b"GridWorldObservation(" in out
