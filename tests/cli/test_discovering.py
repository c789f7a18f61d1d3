"""`openenv list`, `info` and `skills`, and what the shell completes."""

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from openenv.cli.commands.skills import AGENTS, guide
from openenv.cli.main import app
from openenv.cli.scaffold import write_environment
from tests.processes import ENVIRON, OPENENV, ROOT
from tests.processes import openenv as openenv_process


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


def openenv(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], prog_name="openenv")


def test_what_init_makes_is_listed(tmp_path: Path) -> None:
    write_environment("told_env", tmp_path / "told_env")
    lines = [line.split() for line in openenv("list").stdout.splitlines()]
    [told] = [words for words in lines if words[0] == "told_env"]
    assert told[1] == "0.1.0"
    assert "./told_env" in told
    listed = json.loads(openenv("list", "--json").stdout)
    assert [one["folder"] for one in listed if one["name"] == "told_env"] == [
        str(tmp_path / "told_env")
    ]


def test_info_tells_the_fields_and_what_would_start(tmp_path: Path) -> None:
    write_environment("told_env", tmp_path / "told_env")
    shown = openenv_process("info", "told", cwd=tmp_path)
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert lines["client"] == "told_env.client.ToldEnv"
    assert lines["starts"] == "a process of this Python serves ./told_env"
    described = json.loads(openenv_process("info", "told", "--json", cwd=tmp_path).stdout)
    assert described["action"] == "told_env.models.ToldAction"
    assert described["action_schema"]["properties"]


def test_what_is_wrong_with_one_is_in_its_info(tmp_path: Path) -> None:
    write_environment("told_env", tmp_path / "told_env")
    (tmp_path / "told_env/models.py").write_text("import no_such_thing\n")
    shown = openenv_process("info", "told", cwd=tmp_path)
    assert "no_such_thing" in shown.stdout
    (tmp_path / "told_env/openenv.yaml").write_text("name: told_env\nprot: 1\n")
    broken = openenv_process("info", "told", cwd=tmp_path)
    assert (broken.returncode, "openenv.yaml:2" in broken.stderr) == (1, True)


def test_an_unknown_name_is_told_the_nearest() -> None:
    run = openenv("info", "eccho")
    assert (run.exit_code, "did you mean echo_env?" in run.stderr) == (1, True)


@pytest.mark.parametrize(
    ("typed", "completed"), [("openenv info ec", "echo_env"), ("openenv val", "validate")]
)
def test_the_shell_completes_commands_and_names(typed: str, completed: str) -> None:
    words = typed.split()
    asked = {
        "_OPENENV_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        OPENENV,
        env=ENVIRON | asked,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert completed in done.stdout.split()


# ---- skills


def test_the_guide_is_printed_and_names_only_commands_that_there_are() -> None:
    text = openenv("skills", "preview").stdout
    assert text == guide()
    named = {line.split()[1] for line in text.splitlines() if line.startswith("openenv ")}
    assert named == {"init", "validate", "serve", "list", "info", "collect"}
    for command in named:
        assert openenv(command, "--help").exit_code == 0
    for option in ("--episodes", "--out"):
        assert option in openenv("collect", "--help").stdout


def test_the_guide_is_written_once_and_linked_for_each_agent(tmp_path: Path) -> None:
    run = openenv("skills", "add", *(f"--{agent}" for agent in AGENTS))
    assert run.exit_code == 0, run.stderr
    written = tmp_path / ".agents/skills/openenv-cli/SKILL.md"
    assert written.read_text() == guide()
    for place, _ in AGENTS.values():
        assert (tmp_path / place / "openenv-cli").is_symlink()
        assert (tmp_path / place / "openenv-cli/SKILL.md").samefile(written)
    assert openenv("skills", "add", "--claude").exit_code == 0


def test_the_guide_for_all_projects_lies_in_the_home(tmp_path: Path) -> None:
    assert openenv("skills", "add", "--global", "--opencode").exit_code == 0
    link = tmp_path / "home/.config/opencode/skills/openenv-cli"
    assert (link / "SKILL.md").samefile(tmp_path / "home/.agents/skills/openenv-cli/SKILL.md")


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    mine = tmp_path / "skills/openenv-cli/SKILL.md"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    run = openenv("skills", "add", "--dest", "skills")
    assert (run.exit_code, mine.read_text()) == (1, "mine")
    assert openenv("skills", "add", "--dest", "skills", "--force").exit_code == 0
    assert mine.read_text() == guide()
    (tmp_path / ".claude/skills/openenv-cli").mkdir(parents=True)
    run = openenv("skills", "add", "--claude", "--force")
    assert (run.exit_code, "move it away" in run.stderr) == (1, True)
    assert openenv("skills", "add", "--dest", "skills", "--claude").exit_code == 1
