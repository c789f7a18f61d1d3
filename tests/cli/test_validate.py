"""`openenv validate`: one command for a folder, for what can be served, and for a URL."""

import asyncio
import json
import os
import re
import signal
import subprocess
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from benchmarks.peers.installation import NEWEST, RENAMED_FROM, python_of
from benchmarks.peers.program import running
from openenv import create_app
from openenv.cli.main import app
from openenv.cli.scaffold import Template, write_environment
from tests.environments import Counter
from tests.patience import within
from tests.processes import ENVIRON, OPENENV
from tests.providers.environments import wait_until_gone
from tests.serving import serving_elsewhere

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "100")
    write_environment("my_env", tmp_path / "my_env")
    return tmp_path / "my_env"


def validate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["validate", *arguments], prog_name="openenv")


def report_of(run: Result) -> dict[str, Any]:
    assert run.stderr == ""
    report: dict[str, Any] = json.loads(run.stdout)
    return report


@pytest.mark.parametrize("template", Template)
def test_what_init_makes_passes_every_check(tmp_path: Path, template: Template) -> None:
    write_environment("grid_env", tmp_path / "grid_env", template)
    run = validate(str(tmp_path / "grid_env"), "--json", "--verbose")
    report = report_of(run)
    assert run.exit_code == 0
    assert (report["passed"], report["issues"], report["mode"]) == (True, [], "simulation")
    assert report["summary"]["skipped_criteria"] == ["mcp_endpoint"]
    page = (ROOT / "docs/howto/validate.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (yes)? ?\|", page, re.MULTILINE)
    required = [(one["id"], "yes" * one["required"]) for one in report["criteria"]]
    # Skipped, none is required.
    assert [(name, is_so) for name, is_so in rows if name != "mcp_endpoint"] == [
        one for one in required if one[0] != "mcp_endpoint"
    ]
    assert report["deployment_modes"]["docker"] is True


def test_the_echo_environment_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "envs/echo_env")
    run = validate()
    assert run.exit_code == 0, run.output
    assert re.search(r"echo_env is valid: \d+ of \d+ checks passed\n$", run.stdout)


def test_the_card_has_a_line_for_each_check(folder: Path) -> None:
    (folder / "README.md").unlink()
    run = validate(str(folder))
    assert run.exit_code == 0
    lines = [line.split()[:2] for line in run.stdout.splitlines()]
    assert ["pass", "manifest"] in lines
    assert ["warn", "layout"] in lines
    assert ["skip", "mcp_endpoint"] in lines
    assert ["pass", "close_frees_slot"] in lines
    assert "there is no README.md" in run.stdout


def test_what_fails_is_named_last_and_the_exit_code_is_1(folder: Path) -> None:
    environment = folder / "server/my_environment.py"
    environment.write_text(environment.read_text().replace("random.Random(seed)", "random"))
    run = validate(str(folder))
    assert run.exit_code == 1
    assert re.search(r"my_env is not valid: .*; failed: deterministic_episodes\n$", run.stdout)
    assert "FAIL  deterministic_episodes" in run.stdout


def test_a_typo_in_the_manifest_is_told_with_its_line_and_nothing_is_started(folder: Path) -> None:
    text = (folder / "openenv.yaml").read_text()
    (folder / "openenv.yaml").write_text(text.replace("port:", "prot:"))
    run = validate(str(folder))
    assert run.exit_code == 1
    assert "openenv.yaml:7: there is no key prot: port is meant" in run.stdout
    assert "startup" not in run.stdout


def test_the_files_alone_can_be_looked_at(folder: Path) -> None:
    run = validate(str(folder), "--level", "static", "--json")
    assert run.exit_code == 0
    ids = [one["id"] for one in report_of(run)["criteria"]]
    assert (ids[0], ids[-1]) == ("manifest", "names")


def test_a_class_can_be_validated_without_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    report = report_of(validate("tests.environments:Counter", "--json"))
    assert report["passed"] is True
    assert report["environment"] == "Counter"


def test_a_server_is_validated_by_its_url() -> None:
    with serving_elsewhere(create_app(Counter)) as url:
        report = report_of(validate(url, "--json", "--max-turns", "5"))
        same = report_of(validate("--url", url, "--json", "--max-turns", "5"))
    assert report["passed"] is True
    assert report["validation_type"] == "running_environment"
    assert report["standard_profile"] == "openenv-http/1.x"
    assert [one["id"] for one in same["criteria"]] == [one["id"] for one in report["criteria"]]


@pytest.mark.timeout(900)  # the first run installs the releases
@pytest.mark.parametrize("release", [RENAMED_FROM, NEWEST], ids=str)
def test_servers_of_the_published_releases_can_be_validated(release: Any) -> None:
    program = [python_of(release), "benchmarks/peers/programs/serve_echo.py", "--sessions", "8"]
    with running(program) as server:
        report = report_of(validate(server.announcement["url"], "--json", "--max-turns", "5"))
    assert report["passed"] is True
    # It says nowhere how many sessions there are, and its episodes have no end.
    skipped = ["step_after_done", "close_frees_slot"]
    assert report["summary"]["skipped_criteria"] == skipped


@pytest.mark.timeout(900)
@pytest.mark.parametrize("release", [RENAMED_FROM, NEWEST], ids=str)
def test_environments_that_the_published_releases_make_are_valid(
    release: Any, tmp_path: Path
) -> None:
    command = [python_of(release), "-m", "openenv.cli", "init", "their_env"]
    # Without uv on PATH, which would ask the package index for a lock file.
    made = subprocess.run(command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True)
    assert made.returncode == 0, made.stderr
    report = report_of(validate(str(tmp_path / "their_env"), "--json"))
    assert report["passed"] is True
    assert report["summary"]["failed_criteria"] == ["dockerfile"]
    assert [issue.partition(": ")[2] for issue in report["issues"]] == [
        f"{tmp_path}/their_env/server/Dockerfile: it runs as root: add USER 1000:1000"
    ]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("program", ["probe.py", "serve"])
async def test_what_it_has_started_ends_with_it(
    folder: Path, program: str, stop: signal.Signals
) -> None:
    app, fifo = folder / "server/app.py", folder / "pid"
    os.mkfifo(fifo)
    hanging = (
        "import os, sys, threading\n"
        f"if any(word.endswith({program!r}) for word in sys.argv):\n"
        f"    open({str(fifo)!r}, 'w').write(str(os.getpid()))\n"
        "    threading.Event().wait()\n"
    )
    app.write_text(app.read_text().replace("app = create_app", f"{hanging}app = create_app"))
    process = await asyncio.create_subprocess_exec(
        *(*OPENENV, "validate", str(folder)),
        env=ENVIRON | {"TMPDIR": str(folder.parent)},
        stdout=PIPE,
        stderr=PIPE,
    )
    async with within(40):
        started = int(await asyncio.to_thread(fifo.read_text))
        process.send_signal(stop)
        _, log = await process.communicate()
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert log.decode() == "openenv: stopped\n"
    wait_until_gone(started)


def test_what_does_not_start_fails_with_its_last_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder.parent))  # its log is kept
    app = folder / "server/app.py"
    run_out = "if 'serve' in sys.argv:\n    raise SystemExit('the licence has run out')\n"
    app.write_text(
        app.read_text().replace("app = create_app", f"import sys\n{run_out}app = create_app")
    )
    run = validate(str(folder))
    assert run.exit_code == 1
    assert "FAIL  startup" in run.stdout
    assert "the licence has run out" in run.stdout


def test_a_check_can_be_left_out(folder: Path) -> None:
    (folder / "pyproject.toml").unlink()
    run = validate(str(folder), "--level", "static", "--skip", "project", "--json")
    assert run.exit_code == 0
    assert "project" in report_of(run)["summary"]["skipped_criteria"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("no/such/folder",), "'no/such/folder' is no folder here"),
        (("http://127.0.0.1:9",), "Connection refused"),
        (("ftp://127.0.0.1:9",), "is not the URL of a server"),
        (("tests.environments:Counter", "--skip", "no_such"), "no check is called no_such"),
    ],
)
def test_what_is_no_target_is_said(
    arguments: tuple[str, ...], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "200")
    run = validate(*arguments)
    assert run.exit_code == 1
    assert complaint in run.output


@pytest.mark.parametrize("option", [("--timeout", "0"), ("--max-turns", "0"), ("--level", "deep")])
def test_a_wrong_option_is_code_2(option: tuple[str, str]) -> None:
    assert validate(".", *option).exit_code == 2
