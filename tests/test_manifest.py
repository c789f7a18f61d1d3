"""Manifests of every form are understood, and what is wrong with one is said with its line."""

from pathlib import Path

import pytest

from openenv.errors import ConfigurationError
from openenv.manifest import examine_manifest, read_manifest

SECTIONS = """\
name: my_env
version: "1.0.0"
description: My custom environment

server:
  port: 9000
  dockerfile: server/Dockerfile

client:
  module: client
  class: MyEnv

models:
  action: models.MyAction
  observation: models.MyObservation
  state: models.MyState

dependencies:
  - numpy>=1.20
  - torch>=2.0
"""
FLAT = """\
spec_version: 1
name: my_env
version: 0.1.0
type: space
runtime: fastapi
app: server.app:app
port: 9000
validation:
  reward:
    range: [0.0, 1.0]
variables:
  TASKS: 3
"""
FORMER = "name: my_env\nversion: 1.10\ndescription: Old\naction: MyAction\nobservation: MyObs\n"


def write(folder: Path, text: str) -> Path:
    (folder / "openenv.yaml").write_text(text, encoding="utf-8")
    return folder


def test_the_form_with_sections_is_understood(tmp_path: Path) -> None:
    manifest, problems = examine_manifest(write(tmp_path, SECTIONS))
    assert problems == []
    assert (manifest.name, manifest.version) == ("my_env", "1.0.0")
    assert (manifest.app, manifest.port) == ("server.app:app", 9000)
    assert manifest.dockerfile == "server/Dockerfile"
    assert manifest.client == "client:MyEnv"
    assert manifest.action == "models.MyAction"
    assert manifest.observation == "models.MyObservation"
    assert manifest.state == "models.MyState"
    assert manifest.dependencies == ["numpy>=1.20", "torch>=2.0"]
    assert manifest.place("models.action") == f"{tmp_path / 'openenv.yaml'}:14"
    assert manifest.place("variables") == str(tmp_path / "openenv.yaml")


def test_the_flat_form_is_understood(tmp_path: Path) -> None:
    manifest, problems = examine_manifest(write(tmp_path, FLAT))
    assert problems == []
    assert (manifest.app, manifest.port) == ("server.app:app", 9000)
    assert manifest.variables == {"TASKS": "3"}
    assert manifest.client is None


def test_a_version_is_the_text_that_is_written(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, FORMER))
    assert manifest.version == "1.10"
    assert (manifest.action, manifest.observation) == ("MyAction", "MyObs")


def test_what_is_left_out_is_the_usual(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, "version: 1\n"))
    assert (manifest.name, manifest.port) == (tmp_path.name, 8000)


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("client: MyEnv", "MyEnv"),
        ("client: client:MyEnv", "client:MyEnv"),
        ("client: {class: MyEnv}", "client:MyEnv"),
    ],
)
def test_a_client_may_be_a_line(tmp_path: Path, text: str, client: str) -> None:
    assert read_manifest(write(tmp_path, text)).client == client


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("echo_env", "echo"),
        ("Echo-Env", "echo"),
        ("connect4_env", "connect4"),
        ("repl", "repl"),
        ("env", "env"),
        ("_env", "env"),
        ("my_own_env", "my-own"),
        ("Größe", "gr-e"),
    ],
)
def test_images_are_called_after_the_name(tmp_path: Path, name: str, stem: str) -> None:
    manifest = read_manifest(write(tmp_path, f"name: {name}\n"))
    assert manifest.stem == stem
    assert manifest.images == (f"{stem}-env:latest", f"openenv-{stem}:latest")


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("name: x\nprot: 80\n", 2, "there is no key prot: port is meant"),
        ("name: x\nserver:\n  dockerfil: a\n", 3, "no key server.dockerfil: dockerfile is meant"),
        ("name: x\nname: y\n", 2, "name is there twice"),
        ("name: ''\n", 1, "name is empty"),
        ("name: [x]\n", 1, "name must be a text"),
        ("version:\n", 1, "version must be a text"),
        ("\n\nport: many\n", 3, "port is 'many', but must be from 1 to 65535"),
        ("port: 0\n", 1, "port is 0"),
        ("port: -1\n", 1, "port is -1"),
        ("port: 70000\n", 1, "port is 70000"),
        ("port: [1]\n", 1, "port is a list"),
        ("port: 1\nserver:\n  port: 2\n", 3, "port is 2 here and 1 elsewhere"),
        ("server: 7\n", 1, "server must hold keys and values: app, port, dockerfile"),
        ("app: server\n", 1, "app is 'server', but must be of the form server.app:app"),
        ("client:\n  module: client\n", 2, "client has no class"),
        ("client:\n  class: '1 2'\n", 2, "client.class is '1 2'"),
        ("client: {class: {}}\n", 1, "client.class is a mapping"),
        ("client: []\n", 1, "client must hold keys and values"),
        ("models:\n  action: my action\n", 2, "action is 'my action'"),
        ("dependencies: numpy\n", 1, "dependencies must be a list"),
        ("dependencies:\n  - numpy\n  - {a: b}\n", 3, "a dependency must be a name"),
        ("variables: [A]\n", 1, "variables must be names and values"),
        ("variables:\n  A: [1]\n", 2, "the value of the variable A must be a text"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, text: str, line: int, complaint: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_manifest(write(tmp_path, text))
    assert str(caught.value).startswith(f"{tmp_path / 'openenv.yaml'}:{line}: ")
    assert complaint in str(caught.value)


def test_a_key_of_another_tool_is_no_error(tmp_path: Path) -> None:
    manifest, [problem] = examine_manifest(write(tmp_path, "name: x\nemoji: y\n"))
    assert (problem.line, problem.is_error) == (2, False)
    assert read_manifest(tmp_path) == manifest


def test_everything_that_is_wrong_is_found_at_once(tmp_path: Path) -> None:
    _, problems = examine_manifest(write(tmp_path, "port: x\nname: x\nverson: 1\n"))
    assert [problem.line for problem in problems] == [1, 3]


@pytest.mark.parametrize("text", ["\tname: x", "name: [", "a: b: c", "[" * 5000])
def test_what_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not valid YAML"):
        examine_manifest(write(tmp_path, text))


def test_a_folder_that_is_none_is_not_said_to_lack_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):
        with pytest.raises(ConfigurationError, match=f"there is no folder {tmp_path / name}"):
            read_manifest(tmp_path / name)
    with pytest.raises(ConfigurationError, match=r"holds no openenv.yaml"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "- app", "name"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="must hold keys and values"):
        examine_manifest(write(tmp_path, text))
