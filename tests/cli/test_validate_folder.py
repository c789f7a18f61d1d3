"""What a folder lacks is found as it lies there, with the line of the manifest that is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openenv.cli.scaffold import Template, write_environment
from openenv.cli.validation.report import Criterion, Report
from openenv.cli.validation.static import examine_folder, examine_imports
from tests.patience import patient
from tests.providers.environments import wait_until_gone

Break = Callable[[Path], object]

TIMEOUT_S = patient(40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_environment("my_env", tmp_path / "my_env")
    return tmp_path / "my_env"


def examined(folder: Path) -> Report:
    report = Report(target=str(folder), validation_type="local_environment")
    examine_folder(folder, report)
    return report


def imported(folder: Path, timeout_s: float = TIMEOUT_S) -> Report:
    report = Report(target=str(folder), validation_type="local_environment")
    examine_imports(folder, report, timeout_s)
    return report


def failures(report: Report) -> dict[str, Criterion]:
    return {one.id: one for one in report.criteria if one.status == "failed"}


def replace(path: str, old: str, new: str) -> Break:
    def apply(folder: Path) -> None:
        text = (folder / path).read_text()
        assert old in text
        (folder / path).write_text(text.replace(old, new))

    return apply


def remove(path: str) -> Break:
    return lambda folder: (folder / path).unlink()


def write(path: str, text: str) -> Break:
    return lambda folder: (folder / path).write_text(text)


@pytest.mark.parametrize("template", Template)
def test_nothing_is_wrong_with_what_init_makes(tmp_path: Path, template: Template) -> None:
    write_environment("my_env", tmp_path / "my_env", template)
    report = examined(tmp_path / "my_env")
    assert failures(report) == {}
    assert report.environment == "my_env"
    assert report.deployment_modes == {
        "docker": True,
        "openenv_serve": True,
        "uv_run": True,
        "python_module": True,
    }


@pytest.mark.parametrize(
    ("break_it", "name", "complaint"),
    [
        (remove("openenv.yaml"), "manifest", "is no environment: it holds no openenv.yaml"),
        (write("openenv.yaml", "\tname"), "manifest", "openenv.yaml:1 is not valid YAML"),
        (
            replace("openenv.yaml", "port: 8000", "prot: 8000"),
            "manifest",
            "openenv.yaml:7: there is no key prot: port is meant",
        ),
        (remove("pyproject.toml"), "project", "there is no pyproject.toml"),
        (write("pyproject.toml", "[project\n"), "project", "is not valid TOML"),
        (write("pyproject.toml", "[tool.x]\n"), "project", "has no [project] with a name"),
        (
            write("pyproject.toml", '[project]\nname = "x"\ndependencies = ["numpy"]\n'),
            "project",
            "no dependency on openenv: add 'openenv>=",
        ),
    ],
)
def test_what_openenv_cannot_do_without_fails_the_whole(
    folder: Path, break_it: Break, name: str, complaint: str
) -> None:
    break_it(folder)
    report = examined(folder)
    assert complaint in failures(report)[name].details
    assert not report.passed


@pytest.mark.parametrize(
    ("break_it", "name", "complaint"),
    [
        (
            replace("openenv.yaml", "type: space", "colour: red"),
            "manifest_keys",
            "openenv.yaml:5: colour means nothing to openenv",
        ),
        (remove("README.md"), "layout", "there is no README.md"),
        (
            replace("pyproject.toml", 'server = "my_env.server.app:main"', ""),
            "server_script",
            "has no line such as server = 'my_env.server.app:main'",
        ),
        (
            replace("server/app.py", "def main", "def start"),
            "server_script",
            "defines no main()",
        ),
        (
            replace("server/app.py", "__name__ ==", "__file__ =="),
            "server_script",
            "has no if __name__ == '__main__'",
        ),
        (write("server/app.py", "def"), "server_script", "invalid syntax"),
        (remove("server/app.py"), "server_script", "there is no server/app.py"),
        (
            replace("openenv.yaml", "client:\n", "dependencies: [Num_Py>=1]\n\nclient:\n"),
            "dependencies",
            "openenv.yaml:12: Num_Py>=1 is not in pyproject.toml",
        ),
        (
            remove("server/Dockerfile"),
            "dockerfile",
            "openenv.yaml:10: there is no server/Dockerfile",
        ),
        (
            replace("server/Dockerfile", "USER 1000:1000", "USER root"),
            "dockerfile",
            "it runs as root",
        ),
        (
            replace("server/Dockerfile", "HEALTHCHECK", "# HEALTHCHECK"),
            "dockerfile",
            "without a HEALTHCHECK",
        ),
        (write("server/Dockerfile", "USER 1\n"), "dockerfile", "has no FROM"),
        (
            replace("openenv.yaml", "port: 8000", "port: 9000"),
            "dockerfile",
            "openenv.yaml:7: the port is 9000, where a Space would look for it, but ",
        ),
    ],
)
def test_what_is_only_advisable_does_not_fail_the_whole(
    folder: Path, break_it: Break, name: str, complaint: str
) -> None:
    break_it(folder)
    report = examined(folder)
    assert list(failures(report)) == [name]
    assert complaint in failures(report)[name].details
    assert report.passed


def test_without_a_dockerfile_anywhere_that_is_said(folder: Path) -> None:
    (folder / "server/Dockerfile").unlink()
    (folder / "openenv.yaml").write_text("name: my_env\n")
    report = examined(folder)
    assert "neither server/Dockerfile nor Dockerfile" in failures(report)["dockerfile"].details
    assert report.deployment_modes["docker"] is False


# ---- what importing it shows


def test_the_classes_that_are_served_are_those_of_the_manifest(folder: Path) -> None:
    report = imported(folder)
    assert failures(report) == {}
    assert [one.id for one in report.criteria] == ["import", "environment", "payloads", "names"]
    assert report.criteria[1].details == "MyEnvironment, inline"


@pytest.mark.parametrize(
    ("break_it", "name", "complaint"),
    [
        (
            replace("server/my_environment.py", "import random", "import no_such_module"),
            "import",
            "No module named 'no_such_module'\n",
        ),
        (replace("openenv.yaml", "app:app", "app:create_app"), "environment", "openenv.yaml:6: "),
        (
            replace("openenv.yaml", "models.MyAction", "models.MyActoin"),
            "names",
            "openenv.yaml:17: ",
        ),
        (
            replace("openenv.yaml", "models.MyAction", "models.MyState"),
            "names",
            "openenv.yaml:17: MyState is not what is served, which is MyAction",
        ),
        (replace("openenv.yaml", "models.MyState", "models.Move"), "names", "is no class"),
        (replace("openenv.yaml", "class: MyEnv", "class: YourEnv"), "names", "no 'YourEnv'"),
        (replace("openenv.yaml", "class: MyEnv", "class: MyState"), "names", "is no EnvClient"),
    ],
)
def test_what_leads_nowhere_is_found_by_importing_it(
    folder: Path, break_it: Break, name: str, complaint: str
) -> None:
    break_it(folder)
    report = imported(folder)
    assert complaint in failures(report)[name].details
    assert not report.passed


def test_payloads_without_fields_are_only_noted(folder: Path) -> None:
    app = "from openenv.app import create_app\nfrom .my_environment import MyEnvironment\n"
    (folder / "server/app.py").write_text(f"{app}app = create_app(MyEnvironment, dict, dict)\n")
    (folder / "openenv.yaml").write_text("name: my_env\n")
    report = imported(folder)
    assert list(failures(report)) == ["payloads"]
    assert "the action has no fields" in failures(report)["payloads"].details
    assert report.passed


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("import os; print('farewell', flush=True); os._exit(3)", "farewell"),
        ("import threading; threading.Event().wait()", "was not imported within"),
    ],
)
def test_what_ends_or_hangs_when_it_is_imported_is_said(
    folder: Path, statement: str, complaint: str
) -> None:
    (folder / "server/app.py").write_text(statement)
    report = imported(folder, 0.5 if "wait" in statement else TIMEOUT_S)
    assert complaint in failures(report)["import"].details


def test_nothing_that_an_environment_starts_when_imported_outlives_it(folder: Path) -> None:
    child = folder / "child"
    (folder / "server/app.py").write_text(
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        f"open({str(child)!r}, 'w').write(str(child.pid))\n"
    )
    imported(folder)
    wait_until_gone(int(child.read_text()))
