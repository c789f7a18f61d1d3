"""`openenv push` to Spaces, `fork` and `list --hub`: what the hub, a stub of it, is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from openenv.cli.main import app
from openenv.cli.scaffold import write_environment
from openenv.cli.space_files import with_arguments
from tests.hub.stub import HubStub, Space, serving_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStub]:
    with serving_hub(monkeypatch, tmp_path / "cache") as stub:
        yield stub


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_environment("told_env", tmp_path / "told_env")
    monkeypatch.chdir(tmp_path / "told_env")
    return tmp_path / "told_env"


def openenv(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], prog_name="openenv")


def front_matter(readme: bytes) -> dict[str, object]:
    matter = yaml.safe_load(readme.decode().split("---\n")[1])
    assert isinstance(matter, dict)
    return matter


@pytest.mark.usefixtures("folder")
def test_a_new_environment_becomes_a_space(hub: HubStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "s3cret")
    options = ("--private", "-H", "cpu-upgrade")
    run = openenv("push", "-e", "A=1", "--secret", "API_KEY", *options)
    assert run.exit_code == 0, run.stderr
    assert 'AutoEnv.from_env("somebody/told_env")' in run.stdout
    assert "s3cret" not in run.output
    space = hub.spaces["somebody/told_env"]
    assert space.variables == {"ENABLE_WEB_INTERFACE": "true", "A": "1"}
    assert (space.secrets, space.private) == ({"API_KEY": "s3cret"}, True)
    assert space.hardware == "cpu-upgrade"
    matter = front_matter(space.files["README.md"])
    assert (matter["sdk"], matter["app_port"]) == ("docker", 8000)
    assert (matter["tags"], matter["base_path"]) == (["openenv"], "/web")
    # What a Space builds lies at its root, with the openenv that it shall run.
    assert space.files["Dockerfile"] == space.files["server/Dockerfile"]
    assert [path for path in space.files if path.startswith("wheels/openenv-1")]
    assert {"openenv.yaml", "models.py", "client.py"} <= space.files.keys()


def test_what_a_manifest_says_goes_into_the_space(hub: HubStub, folder: Path) -> None:
    manifest = folder / "openenv.yaml"
    manifest.write_text(manifest.read_text() + "variables: {A: from the manifest, B: two}\n")
    run = openenv("push", "--repo-id", "somebody/mine", "-e", "A=given", "--no-interface")
    assert run.exit_code == 0, run.stderr
    space = hub.spaces["somebody/mine"]
    assert space.variables == {"A": "given", "B": "two"}
    assert "base_path" not in front_matter(space.files["README.md"])


def test_a_second_push_brings_it_up_to_date(hub: HubStub, folder: Path) -> None:
    openenv("push")
    (folder / "client.py").write_text("# another\n")
    (folder / "models.py").rename(folder / "payloads.py")
    run = openenv("push")
    assert "brought up to date" in run.stdout
    files = hub.spaces["somebody/told_env"].files
    assert files["client.py"] == b"# another\n"
    assert ("payloads.py" in files, "models.py" in files) == (True, False)


def test_secrets_and_what_is_excluded_stay_here(hub: HubStub, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("outside")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "data/deep").mkdir(parents=True)
    for name in (".env", ".env.local", "data/deep/big.bin", "notes.md", "server/x.tmp"):
        (folder / name).write_text("mine")
    (folder / "left-out").write_text("# what is mine\ndata/\n*.tmp\nnotes.md\nleft-out\n")
    run = openenv("push", "--exclude", "left-out")
    assert run.exit_code == 0, run.stderr
    files = hub.spaces["somebody/told_env"].files
    assert b"mine" not in files.values()
    assert b"outside" not in files.values()
    assert "left-out" not in files


@pytest.mark.usefixtures("folder")
def test_several_spaces_can_be_made_of_one(hub: HubStub) -> None:
    assert openenv("push", "-n", 2).exit_code == 0
    assert hub.spaces.keys() == {"somebody/told_env-1", "somebody/told_env-2"}


@pytest.mark.usefixtures("folder")
def test_a_pull_request_is_opened_on_somebody_elses(hub: HubStub) -> None:
    hub.spaces["other/told"] = Space("other/told", {"openenv.yaml": b"name: told_env\n"})
    run = openenv("push", "-r", "other/told", "--create-pr")
    assert "/spaces/other/told/discussions/1" in run.stdout
    assert hub.spaces["other/told"].files.keys() == {"openenv.yaml"}


@pytest.mark.usefixtures("folder")
def test_a_dry_run_shows_everything_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    run = openenv("push", "--dry-run", "-e", "A=1", "--secret", "KEY=s3cret", "--private")
    assert run.exit_code == 0, run.stderr
    for said in ("Dockerfile", "openenv.yaml", "A=1", "secrets: KEY", "private", "sdk: docker"):
        assert said in run.stdout
    assert "s3cret" not in run.stdout


@pytest.mark.usefixtures("folder")
def test_what_is_in_the_way_is_said(hub: HubStub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.spaces["somebody/told_env"] = Space("somebody/told_env", {"app.py": b"mine"})
    for arguments, said in (
        (("push",), "there is a Space somebody/told_env already"),
        (("push", "-r", "other/told"), "forbids"),
        (("push", "-r", "told env"), "org/name"),
        (("push", "-r", "somebody/new", "-H", "abacus"), "Invalid hardware: abacus"),
        (("push", "--secret", "NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE"),
        (("push", "--exclude", "no-such-file"), "no-such-file"),
        (("push", "--base-image", "python:3.12"), "ARG BASE_IMAGE"),
        (("push", "--tag", "1.0"), "--tag belongs to the push of an image"),
        (("push", "--registry", "ghcr.io/me", "--private"), "--private belongs to"),
    ):
        run = openenv(*arguments)
        assert (run.exit_code, said in run.stderr) == (1, True), run.stderr
    monkeypatch.delenv("HF_TOKEN")
    assert "hf auth login" in openenv("push").stderr
    assert list(hub.spaces) == ["somebody/told_env"]


def test_a_dockerfile_that_needs_the_repository_is_no_spaces(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "shared.txt").touch()
    folder = tmp_path / "envs/told_env"
    write_environment("told_env", folder)
    (folder / "server/Dockerfile").write_text("FROM scratch\nCOPY shared.txt /\n")
    run = openenv("push", folder, "--dry-run")
    assert (run.exit_code, "a Space holds told_env alone" in run.stderr) == (1, True)


@pytest.mark.parametrize(
    ("value", "line"),
    [("python:3.12", "ARG BASE=python:3.12"), (r'a "b" $c \d', r'ARG BASE="a \"b\" \$c \\d"')],
)
def test_arguments_of_a_build_are_written_into_the_dockerfile(value: str, line: str) -> None:
    given = "ARG OTHER=1\narg BASE=x\nARG BASEMENT\nFROM ${BASE}\n"
    made = with_arguments(given, {"BASE": value})
    assert made == f"ARG OTHER=1\n{line.replace('ARG', 'arg')}\nARG BASEMENT\nFROM ${{BASE}}\n"


def test_a_space_is_copied(hub: HubStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "s3cret")
    hub.spaces["other/told"] = Space("other/told", {"openenv.yaml": b""})
    run = openenv("fork", "other/told", "-e", "A=1", "-s", "KEY", "--private")
    assert (run.exit_code, run.stdout.endswith("/spaces/somebody/told\n")) == (0, True)
    copy = hub.spaces["somebody/told"]
    assert (copy.variables, copy.secrets, copy.private) == ({"A": "1"}, {"KEY": "s3cret"}, True)
    again = openenv("fork", "other/told")
    assert (again.exit_code, "--repo-id" in again.stderr) == (1, True)
    unknown = openenv("fork", "other/nothing")
    assert (unknown.exit_code, "no Space other/nothing" in unknown.stderr) == (1, True)


def test_spaces_are_listed(hub: HubStub) -> None:
    hub.spaces["other/told"] = Space("other/told")
    assert openenv("list", "--hub").stdout.split()[0] == "other/told"
