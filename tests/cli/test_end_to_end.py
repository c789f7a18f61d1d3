"""From an empty folder to a published environment that is played, by commands alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openenv.recording import read
from openenv.wheel import write_wheel
from tests.processes import ENVIRON
from tests.registry import PASSWORD, USER, docker_login, registry, remove_images, unique_name

NAME = unique_name("published")
IMAGE = NAME.replace("_", "-")

# Images and virtual environments are filled from the configured package index.
pytestmark = pytest.mark.timeout(300)


class Shell:
    """Runs commands in a folder, each of which must succeed; they may all begin alike."""

    def __init__(self, folder: Path, beginning: tuple[str, ...] = (), **environ: str) -> None:
        self.folder = folder
        self.beginning = beginning
        self.environ = ENVIRON | environ

    def __call__(self, *command: object, stdin: str | None = None) -> str:
        run = subprocess.run(
            [*self.beginning, *map(str, command)],
            cwd=self.folder,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"
        return run.stdout


def test_from_an_empty_folder_to_episodes_from_a_published_image(
    tmp_path: Path, daemon: Any, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: remove_images(daemon, NAME))
    openenv = Shell(tmp_path, (sys.executable, "-m", "openenv.cli"), DOCKER_CONFIG=str(tmp_path))
    with (
        registry(tmp_path / "open") as anyone_s,
        registry(tmp_path / "closed", login=True) as closed,
    ):
        openenv("init", NAME)
        assert f"built {IMAGE}:latest and " in openenv("build", NAME)
        assert f"{NAME} is valid" in openenv("validate", NAME)
        for host, login in ((anyone_s, ()), (closed, ("--username", USER, "--password-stdin"))):
            push = ("push", NAME, "--no-build", "--registry", host, *login)
            pushed = openenv(*push, stdin=f"{PASSWORD}\n")
            assert f"pushed {host}/{IMAGE}:latest: sha256:" in pushed
        docker_login(closed, tmp_path)
        for host in (anyone_s, closed):
            # As on another machine: whatever runs now has come from the registry.
            remove_images(daemon, NAME)
            play(openenv, f"{host}/{IMAGE}:latest")


def play(openenv: "Shell", image: str) -> None:
    """Pull an image, run it, collect episodes from it, and stop it."""
    running = json.loads(openenv("run", image, "--detach", "--json"))
    try:
        assert "Environment is valid" in openenv("validate", running["url"])
        out = ("--out", "episodes.jsonl", "--overwrite")
        openenv("collect", running["url"], "--episodes", "20", "--max-turns", "10", *out)
    finally:
        assert openenv("stop", running["name"]) == f"{running['name']}\n"
    assert running["name"] not in openenv("ps")
    episodes = list(read(openenv.folder / "episodes.jsonl"))
    assert len(episodes) == 20
    assert all(0 < len(episode.turns) <= 10 for episode in episodes)


def test_what_init_makes_works_in_a_fresh_virtual_environment(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    wheel = write_wheel(tmp_path / "wheels")
    venv = tmp_path / "venv"
    shell = Shell(
        tmp_path,
        VIRTUAL_ENV=str(venv),
        PATH=f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        PYTHONPATH="",
    )
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    install = (uv, "pip", "install", "--quiet", "--find-links", wheel.parent)
    shell(uv, "venv", "--quiet", "--python", sys.executable, venv)
    shell(*install, "openenv[cli]>=1.0.0.dev0")
    for template in ("minimal", "gymnasium"):
        name = f"my_{template}_env"
        shell("openenv", "init", name, "--template", template)
        shell(*install, "--editable", f"{tmp_path / name}[dev]")
        inside = Shell(tmp_path / name, **{**shell.environ, "COLUMNS": "200"})
        assert inside("pytest", "-p", "no:cacheprovider").count("13 passed") == 1
        assert f"{name} is valid" in inside("openenv", "validate", ".")
    where = shell("python", "-c", "import openenv; print(openenv.__file__)")
    assert Path(where.strip()).is_relative_to(venv)
