"""Which environments there are on this machine, and which one a name means."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from openenv.errors import ConfigurationError
from openenv.hub.discovery import discover, find, key_of
from tests.providers.environments import write_environment


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def install(site: Path, name: str, module: str = "", *, entry_point: bool = True) -> Path:
    """Write what installing an environment leaves; return its package's folder."""
    described = site / f"{name.replace('-', '_')}-2.1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.1\n")
    module = module or f"{name.removeprefix('openenv-')}_env"
    if entry_point:
        (described / "entry_points.txt").write_text(f"[openenv.envs]\nany = {module}\n")
    folder = write_environment(site.joinpath(*module.split(".")))
    (folder / "__init__.py").write_text("raise SystemExit('nobody asked for it to be imported')\n")
    return folder


@pytest.mark.parametrize(
    "name", ["coding", "coding-env", "coding_env", "Coding.Env", "openenv-coding"]
)
def test_a_name_is_the_same_in_every_spelling(name: str) -> None:
    assert key_of(name) == "coding"


@pytest.mark.parametrize(("name", "key"), [("env", "env"), ("env_env", "env"), ("_env", "env")])
def test_a_name_that_is_an_ending_stays_one(name: str, key: str) -> None:
    assert key_of(name) == key


@pytest.mark.parametrize("below", ["", "envs", "src/envs"])
def test_environments_lie_in_the_working_directory(below: str) -> None:
    folder = write_environment(Path(below, "told_env").resolve())
    for name in ("told", "told-env", "told_env", "openenv-told"):
        assert find(name).folder == folder
    assert find("told").origin == "here"


def test_the_folder_that_one_stands_in_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_environment(tmp_path / "told_env"))
    assert find("told").place == "./."


def test_environments_lie_in_the_repository_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_environment(tmp_path / "envs/told_env")
    (tmp_path / "work/deep/down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work/deep/down")
    with pytest.raises(ConfigurationError):
        find("told")
    (tmp_path / ".git").mkdir()
    assert find("told").folder == folder


@pytest.mark.skipif(os.geteuid() != 0, reason="opt-in: only root can give a folder away")
def test_a_repository_of_somebody_elses_is_not_looked_into(tmp_path: Path) -> None:
    write_environment(tmp_path / "envs/told_env")
    (tmp_path / ".git").mkdir()
    os.chown(tmp_path, 65534, -1)
    with pytest.raises(ConfigurationError):
        find("told")


def test_this_checkouts_own_are_found_from_everywhere() -> None:
    assert find("echo").folder == Path(__file__).parents[2] / "envs/echo_env"


@pytest.mark.parametrize(
    ("name", "module", "entry_point"),
    [
        ("openenv-told", "told_env", True),
        ("openenv-told", "told_env", False),
        ("openenv-told-env", "told_env", False),
        ("openenv-told", "told", False),
        ("some-collection", "collected.told_env", True),
    ],
)
def test_what_is_installed_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, entry_point: bool
) -> None:
    folder = install(tmp_path / "site", name, module, entry_point=entry_point)
    if not entry_point:
        (folder / "openenv.yaml").unlink()
        (folder / "client.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found = find("told")
    assert (found.folder, found.module) == (folder, module)
    assert (found.origin, found.distribution) == ("installed", f"{name} 2.1")
    assert module.partition(".")[0] not in sys.modules


def test_what_is_installed_meanwhile_is_found_and_what_is_gone_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(ConfigurationError):
        find("told")
    install(tmp_path / "site", "openenv-told")
    assert find("told").distribution == "openenv-told 2.1"
    for file in (tmp_path / "site").rglob("METADATA"):
        file.unlink()
    for file in (tmp_path / "site").rglob("entry_points.txt"):
        file.unlink()
    with pytest.raises(ConfigurationError):
        find("told")


def test_nothing_is_written_by_looking(tmp_path: Path) -> None:
    code = "from openenv.hub.discovery import discover; discover()"
    environ = os.environ | {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")}
    for folder in ("tmp", "home"):
        (tmp_path / folder).mkdir()
    subprocess.run([sys.executable, "-B", "-c", code], env=environ, check=True)
    assert [*(tmp_path / "tmp").iterdir(), *(tmp_path / "home").iterdir()] == []


def test_one_that_is_installed_from_its_folder_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install(Path.cwd(), "openenv-told")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    assert [one.folder for one in discover() if "told" in one.keys] == [folder]


def test_two_of_one_name_are_both_said_and_either_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = write_environment(Path("envs/told_env").resolve())
    there = install(tmp_path / "site", "openenv-told")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(ConfigurationError) as caught:
        find("told")
    for said in ("./envs/told_env", str(there), "openenv-told 2.1"):
        assert said in str(caught.value)
    assert find("./envs/told_env").folder == here
    assert find(str(there)).folder == there


def test_of_two_similar_names_the_exact_one_is_meant() -> None:
    for name in ("told", "told_env"):
        write_environment(Path(name).resolve())
    assert find("told").folder.name == "told"
    assert find("told_env").folder.name == "told_env"
    with pytest.raises(ConfigurationError):
        find("told-env")


def test_an_unknown_name_is_told_the_nearest() -> None:
    write_environment(Path("envs/coding_env").resolve())
    with pytest.raises(ConfigurationError, match="did you mean coding_env") as caught:
        find("codding-env")
    assert "echo_env" in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        find("nothing-like-it")
    assert "did you mean" not in str(caught.value)


def test_a_wrong_manifest_harms_nobody_else() -> None:
    folder = write_environment(Path("envs/told_env").resolve(), manifest="prot: 8000\n")
    write_environment(Path("envs/other_env").resolve())
    assert find("other").problem is None
    assert f"{folder / 'openenv.yaml'}:2" in str(find("told").problem)


@pytest.mark.parametrize("name", ["./envs/echo_env", "/no/such/folder", "~/no-such-folder/a"])
def test_a_folder_that_is_not_there_is_said(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no folder"):
        find(name)


@pytest.mark.parametrize("name", ["envs", "./envs", "/", ".."])
def test_a_folder_without_a_manifest_is_no_environment(name: str) -> None:
    Path("envs").mkdir()
    with pytest.raises(ConfigurationError):
        find(name)
