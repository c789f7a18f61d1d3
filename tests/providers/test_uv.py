"""Servers with an installation of their own, made by uv."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from openenv.client.generic import GenericEnvClient
from openenv.client.launch import launch
from openenv.errors import ConfigurationError, ProviderError, ProviderUnavailable, StartupFailed
from openenv.providers.git import GitSource
from openenv.providers.uv import UVProvider
from tests.patience import within
from tests.processes import ENVIRON
from tests.providers.environments import wait_until_gone, write_environment

TELLS_ITS_PLACE = "import openenv, sys; os.environ['TOLD'] = f'{openenv.__file__}|{sys.prefix}'"
# Made here, so that nothing is asked of an index but what openenv itself needs.
PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "openenv-told"
version = "0"
dependencies = ["openenv-core>=0.2"]

[tool.setuptools]
packages = ["told_env", "told_env.server"]
package-dir = { told_env = ".", "told_env.server" = "server" }
"""


@pytest.fixture(autouse=True)
def _folders_are_the_tests_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def left_in(folder: Path) -> list[Path]:
    return list(folder.glob("openenv-*"))


def folders_left_in(folder: Path) -> list[Path]:
    """What is left besides a log, which is kept when a start fails."""
    return [path for path in left_in(folder) if path.is_dir()]


def told_environment(folder: Path) -> Path:
    write_environment(folder, TELLS_ITS_PLACE)
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


async def test_a_folder_gets_an_installation_of_its_own_with_the_openenv_that_runs_here(
    tmp_path: Path,
) -> None:
    folder = told_environment(tmp_path / "told_env")
    env = await launch(GenericEnvClient, UVProvider(), (folder,))
    async with env:
        told = (await env.reset()).observation
        where, prefix = told["told"].split("|")
        assert prefix not in (sys.prefix, "")
        # The published package that the environment asks for would lie over it.
        assert where.startswith(prefix) or "uv" in where
        assert left_in(tmp_path)
    wait_until_gone(told["pid"])
    assert not left_in(tmp_path)
    assert not (folder / "uv.lock").exists()


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def repository(folder: Path) -> str:
    """Return the URL of a repository with an environment in it, on a branch of its own."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "Begin")
    git(folder, "checkout", "--quiet", "-b", "with-env")
    write_environment(folder / "envs/told_env", TELLS_ITS_PLACE)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Add an environment")
    git(folder, "checkout", "--quiet", "main")
    return f"git+file://{folder}"


def test_a_git_repository_is_served_from_a_copy(tmp_path: Path) -> None:
    url = f"{repository(tmp_path / 'repository')}@with-env#subdirectory=envs/told_env"
    with UVProvider(url) as provider, GenericEnvClient(provider.base_url).sync() as env:
        assert env.reset().observation["told"]
        assert (env.step({"a": 1})).observation == {"echo": {"a": 1}}
    assert not left_in(tmp_path)


def test_without_git_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", {"uv": "/bin/true"}.get)
    with pytest.raises(ProviderUnavailable, match="need git"):
        UVProvider("git+https://127.0.0.1:9/a").start()
    assert not left_in(tmp_path)


@pytest.mark.parametrize("end", ["@no-such-branch", "#subdirectory=no/such/folder"])
def test_what_git_does_not_find_is_said(tmp_path: Path, end: str) -> None:
    url = repository(tmp_path / "repository") + end
    with pytest.raises((ProviderError, ConfigurationError), match=r"no.such"):
        UVProvider(url).start()
    assert not folders_left_in(tmp_path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("git+https://host/a/b", ("https://host/a/b", "", "", "b")),
        ("git+https://host/a/b.git@v1", ("https://host/a/b.git", "v1", "", "b")),
        (
            "git+ssh://git@host/a/b@feature/x#egg=c&subdirectory=envs/d_env",
            ("ssh://git@host/a/b", "feature/x", "envs/d_env", "d_env"),
        ),
    ],
)
def test_urls_of_repositories_are_read_as_pip_does(text: str, found: tuple[str, ...]) -> None:
    source = GitSource.parse(text)
    assert (source.url, source.revision, source.subdirectory, source.name) == found


@pytest.mark.parametrize(
    "text",
    [
        "https://host/a/b",
        "git+ext::sh -c id",
        "git+https://host/a@--upload-pack=id",
        "git+https://host/a#subdirectory=../..",
    ],
)
def test_urls_that_are_no_repositorys_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        GitSource.parse(text)


def test_a_requirement_that_nobody_has_is_said_in_uvs_words(tmp_path: Path) -> None:
    folder = told_environment(tmp_path / "told_env")
    text = PROJECT.replace("openenv-core>=0.2", "openenv==0.0.0.dev1")
    (folder / "pyproject.toml").write_text(text)
    with pytest.raises(StartupFailed, match=r"openenv==0\.0\.0\.dev1") as caught:
        UVProvider(project_path=folder).start()
    assert caught.value.exit_code
    assert not list(tmp_path.glob("openenv-uv-*"))


def test_without_uv_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(ProviderUnavailable, match="pip install uv"):
        UVProvider(write_environment(tmp_path / "told_env")).start()


@pytest.mark.parametrize(
    ("manifest", "pyproject", "named"),
    [(None, "", "openenv.yaml"), ("name: x", "[project", "pyproject.toml")],
)
def test_a_folder_that_is_no_environment_is_refused(
    tmp_path: Path, manifest: str | None, pyproject: str, named: str
) -> None:
    folder = write_environment(tmp_path / "told_env")
    (folder / "pyproject.toml").write_text(pyproject)
    if manifest is None:
        os.remove(folder / "openenv.yaml")
    with pytest.raises(ConfigurationError, match=named):
        UVProvider(folder).start()
    assert not left_in(tmp_path)


def test_a_module_and_a_folder_without_a_manifest_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a module"):
        UVProvider("module:app").start()
    (tmp_path / "bare").mkdir()
    with pytest.raises(ConfigurationError, match="app="):
        UVProvider(tmp_path / "bare").start()
    with pytest.raises(ConfigurationError, match="reload"):
        UVProvider(tmp_path / "bare", reload=True)
    assert not left_in(tmp_path)


# It stands where uv does: it says that it runs, and goes no further.
WAITING_UV = """#!/bin/sh
echo $$ > {folder}/pid
echo began > {folder}/began
exec sleep 60
"""


@pytest.fixture
def waiting_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    os.mkfifo(folder / "began")
    (folder / "uv").write_text(WAITING_UV.format(folder=folder))
    (folder / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


async def test_installing_can_be_cancelled(waiting_uv: Path, tmp_path: Path) -> None:
    folder = write_environment(tmp_path / "told_env")
    starting = asyncio.create_task(UVProvider(folder).open())
    async with within(30):
        await asyncio.to_thread((waiting_uv / "began").read_text)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    wait_until_gone(int((waiting_uv / "pid").read_text()))
    assert not folders_left_in(tmp_path)


def test_installing_that_takes_too_long_is_ended(waiting_uv: Path, tmp_path: Path) -> None:
    folder = write_environment(tmp_path / "told_env")
    # Both ends, so that nobody waits for anybody to open the other.
    began = os.open(waiting_uv / "began", os.O_RDWR)
    with pytest.raises(ProviderError, match=r"within 0\.5 s"):
        UVProvider(folder, install_timeout_s=0.5).start()
    os.close(began)
    wait_until_gone(int((waiting_uv / "pid").read_text()))
    assert not folders_left_in(tmp_path)


def test_a_client_that_is_killed_while_uv_installs_leaves_nothing(
    waiting_uv: Path, tmp_path: Path
) -> None:
    folder = write_environment(tmp_path / "told_env")
    program = (
        "import sys; from openenv.providers.uv import UVProvider; UVProvider(sys.argv[1]).start()"
    )
    command = [sys.executable, "-c", program, str(folder)]
    environ = ENVIRON | {"TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]}
    with subprocess.Popen(command, env=environ) as client:
        (waiting_uv / "began").read_text()
        lifelines = children_of(client.pid)
        client.kill()
    wait_until_gone(int((waiting_uv / "pid").read_text()))
    for pid in lifelines:
        wait_until_gone(pid)
    assert not folders_left_in(tmp_path)


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
