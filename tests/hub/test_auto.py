"""AutoEnv and AutoAction: from a name to a client that plays, and to the classes."""

import importlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import openenv.hub.starting
from envs.echo_env import EchoAction, EchoEnv
from openenv import AutoAction, AutoEnv
from openenv.app import create_app
from openenv.client.generic import GenericAction, GenericEnvClient
from openenv.client.http.client import HTTPEnvClient
from openenv.errors import ConfigurationError, ProviderError, ProviderUnavailable
from openenv.hub.discovery import find
from openenv.hub.starting import plan_start
from openenv.providers.process import ProcessProvider
from openenv.providers.uv import UVProvider
from tests.environments import Counter
from tests.providers.environments import wait_until_gone, write_environment
from tests.serving import serving, serving_elsewhere

ROOT = Path(__file__).parents[2]
WITH_CLASSES = {
    "models.py": "from dataclasses import dataclass\nfrom openenv import Action\n\n"
    "@dataclass(kw_only=True)\nclass ToldAct1on(Action):\n    text: str = ''\n\n"
    "@dataclass(kw_only=True)\nclass CodeAction(Action):\n    code: str\n",
    "client.py": "from openenv import EnvClient\n\nclass ToldEnv(EnvClient):\n    pass\n",
    "__init__.py": "",
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENENV_TRUST_REMOTE_CODE", raising=False)
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.split(".")[0].endswith("_env"):
            del sys.modules[name]


@pytest.fixture
def without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)


def told_environment(folder: Path, files: dict[str, str] = WITH_CLASSES) -> Path:
    write_environment(folder)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


# ---- from a name to a client


@pytest.mark.parametrize("name", ["echo-env", "echo", "echo_env", str(ROOT / "envs/echo_env")])
@pytest.mark.usefixtures("without_docker")
def test_a_name_is_enough(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "openenv.hub")
    env = AutoEnv.from_env(name)
    try:
        env.reset()
        result = env.step(AutoAction.from_env(name)(message="hello"))
        assert (result.observation.echoed_message, result.reward) == ("hello", 0.5)
    finally:
        env.close()
    [record] = caplog.records
    assert record.message.startswith("echo_env: a process of this Python serves")


@pytest.mark.usefixtures("without_docker")
async def test_awaited_it_gives_the_async_client(tmp_path: Path) -> None:
    told_environment(tmp_path / "told_env")
    async with AutoEnv.from_env("told", env_vars={"TOLD": "7"}) as env:
        assert type(env).__name__ == "ToldEnv"
        told = (await env.reset()).observation
        assert told["told"] == "7"
    wait_until_gone(told["pid"])


async def test_a_server_that_is_given_is_used(tmp_path: Path) -> None:
    async with serving(create_app(Counter)) as url:
        env = await AutoEnv.from_env(url)
        assert isinstance(env, GenericEnvClient)
        await env.reset()
        await env.close()
        async with AutoEnv.from_env("echo", base_url=url) as env:
            assert isinstance(env, EchoEnv)
            assert env.base_url == url


def test_a_blocking_client_is_given_as_it_is(tmp_path: Path) -> None:
    client = "from openenv import HTTPEnvClient\n\nclass ToldEnv(HTTPEnvClient):\n    pass\n"
    told_environment(tmp_path / "told_env", {**WITH_CLASSES, "client.py": client})
    with serving_elsewhere(create_app(Counter)) as url, AutoEnv.from_env("told", url) as env:
        assert isinstance(env, HTTPEnvClient)
        assert env.reset().observation


def test_options_go_to_the_client_or_to_the_provider(tmp_path: Path) -> None:
    told_environment(tmp_path / "told_env")
    env = AutoEnv.from_env("told", provider="process", max_sessions=3, message_timeout_s=7)
    env.close()
    with pytest.raises(ConfigurationError, match="memory"):
        AutoEnv.from_env("told", provider="process", memory="2g")


@pytest.mark.parametrize("options", [{"memory": "2g"}, {"env_vars": {}}, {"mesage_timeout_s": 1}])
def test_a_server_that_runs_already_takes_no_options(options: dict[str, Any]) -> None:
    for name, base_url in (("echo", "http://127.0.0.1:9"), ("http://127.0.0.1:9", None)):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            AutoEnv.from_env(name, base_url, **options)
    AutoEnv.from_env("echo", "http://127.0.0.1:9", wait_timeout=3, message_timeout_s=1).close()


def test_a_provider_of_ones_own_serves(tmp_path: Path) -> None:
    told_environment(tmp_path / "told_env")
    provider = ProcessProvider(log=tmp_path / "my.log")
    env = AutoEnv.from_env("told", container_provider=provider)
    assert provider.base_url == env.base_url
    env.close()
    assert provider.base_url is None


@pytest.mark.usefixtures("without_docker")
def test_what_this_python_does_not_have_gets_an_installation_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = told_environment(tmp_path / "told_env")
    needs = '["openenv-core", "msgspec>=0.1", "no-such-thing>=2", "other ; os_name == \'nt\'"]'
    (folder / "pyproject.toml").write_text(f'[project]\nname = "told"\ndependencies = {needs}\n')
    start = plan_start(find("told"))
    assert isinstance(start.provider, UVProvider)
    assert "does not have no-such-thing" in start.description

    def no_uv() -> str:
        raise ProviderUnavailable("no uv")

    monkeypatch.setattr(openenv.hub.starting, "find_uv", no_uv)
    with pytest.raises(ProviderUnavailable, match="pip install no-such-thing"):
        plan_start(find("told"))


def test_an_unknown_provider_is_told_the_known() -> None:
    with pytest.raises(ConfigurationError, match="docker, process, uv"):
        AutoEnv.from_env("echo", provider="swarm")


@pytest.mark.parametrize("call", [AutoEnv.from_env, AutoEnv.get_env_class, AutoAction.from_env])
def test_an_unknown_name_is_said_by_every_call(call: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigurationError, match="did you mean echo_env"):
        call("eccho")


@pytest.mark.parametrize("cls", [AutoEnv, AutoAction])
def test_there_are_no_instances(cls: type[Any]) -> None:
    with pytest.raises(TypeError, match="from_env"):
        cls()


def test_at_a_terminal_it_is_said_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with serving_elsewhere(create_app(Counter)) as url:
        AutoEnv.from_env("echo", base_url=url).close()
    assert terminal.getvalue() == f"openenv: echo_env: the server at {url}\n"


# ---- classes


def test_classes_are_those_of_the_manifest() -> None:
    assert AutoEnv.get_env_class("echo-env") is EchoEnv
    assert AutoAction.from_env("echo-env") is EchoAction
    assert AutoAction.from_env("echo-env", skip_install=True) is GenericAction
    info = AutoEnv.get_env_info("echo")
    assert info["client"] == "envs.echo_env.client.EchoEnv"
    assert info["action_schema"]["required"] == ["message"]
    assert info["state"] == "openenv.models.State"
    assert info["images"] == ["echo-env:latest", "openenv-echo:latest"]
    assert AutoAction.get_action_info("echo")["action"] == "envs.echo_env.models.EchoAction"


@pytest.mark.parametrize(
    ("change", "client", "action"),
    [
        ({}, "ToldEnv", "GenericAction"),
        ({"models.py": "class CodeAction: pass\n"}, "ToldEnv", "CodeAction"),
        ({"client.py": "from openenv import EnvClient\nclass A(EnvClient): ...\n"}, "A", None),
        ({"client.py": "from openenv import EnvClient\n"}, "GenericEnvClient", None),
        (
            {
                "models.py": "class ToldAction(dict): ...\nclass BAction: ...\n",
                "client.py": "from openenv import EnvClient\n"
                "class OtherEnv(EnvClient): ...\nclass ToldEnv(EnvClient): ...\n",
            },
            "ToldEnv",
            "ToldAction",
        ),
    ],
)
def test_without_names_in_the_manifest_the_usual_ones_are_looked_for(
    tmp_path: Path, change: dict[str, str], client: str, action: str | None
) -> None:
    files = {**WITH_CLASSES, "models.py": "", **change}
    told_environment(tmp_path / "told_env", files)
    assert AutoEnv.get_env_class("told").__name__ == client
    assert AutoAction.from_env("told").__name__ == (action or "GenericAction")


def test_an_environment_without_classes_takes_dicts(tmp_path: Path) -> None:
    write_environment(tmp_path / "told_env")
    assert AutoEnv.get_env_class("told") is GenericEnvClient
    assert AutoAction.from_env("told") is GenericAction
    assert AutoEnv.get_env_info("told")["action"] is None


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("client: {module: client, class: T0ldEnv}", "ToldEnv"),
        ("client: {module: clientele, class: ToldEnv}", "clientele"),
        ("action: models.ToldAction", "CodeAction"),
    ],
)
def test_a_manifest_that_names_what_is_not_there_is_said(
    tmp_path: Path, manifest: str, said: str
) -> None:
    folder = told_environment(tmp_path / "told_env")
    (folder / "openenv.yaml").write_text(f"name: told_env\n{manifest}\n")
    call = AutoAction.from_env if "action" in manifest else AutoEnv.get_env_class
    with pytest.raises(ConfigurationError, match=said) as caught:
        call("told")
    if "clientele" not in manifest:
        assert "openenv.yaml:2" in str(caught.value)
    assert said in str(AutoEnv.get_env_info("told")["problem"])


def test_a_client_that_cannot_be_imported_is_shown_by_its_line(tmp_path: Path) -> None:
    folder = told_environment(tmp_path / "told_env", {"client.py": "\nimport no_such_thing\n"})
    with pytest.raises(ConfigurationError, match=r"no_such_thing"):
        AutoEnv.from_env("told")
    assert "client.py:2" in str(AutoEnv.get_env_info("told")["problem"])
    assert folder.name not in str(os.environ)


def test_what_is_installed_is_imported_by_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    told_environment(site / "told_env")
    described = site / "openenv_told-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: openenv-told\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(site))
    client = importlib.import_module("told_env.client")
    assert AutoEnv.get_env_class("told") is client.ToldEnv


# ---- lists


TOLD = """
description: Tells
version: '3'
license: MIT
models:
  observation: models.Told
"""


def test_a_list_is_printed_and_returned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_environment(tmp_path / "told_env", manifest=TOLD)
    write_environment(tmp_path / "wrong_env", manifest="port: high\n")
    listed = {one["name"]: one for one in AutoEnv.list_environments()}
    lines = capsys.readouterr().out.splitlines()
    assert listed["told_env"]["description"] == "Tells"
    assert "openenv.yaml:2" in listed["wrong_env"]["problem"]
    columns = "NAME VERSION ACTION OBSERVATION LICENSE SOURCE DESCRIPTION"
    assert lines[0].split() == columns.split()
    assert [line.split() for line in lines if "told" in line] == [
        ["told_env", "3", "-", "Told", "MIT", "./told_env", "Tells"]
    ]
    assert any("wrong_env" in line and "port" in line for line in lines)


# ---- code from elsewhere


@pytest.mark.parametrize("said", ["git+https://host/a/b", "other/told"])
def test_without_a_terminal_code_from_elsewhere_is_refused(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    monkeypatch.setattr("openenv.hub.auto.commit_of", lambda _: "c0ffee")
    with pytest.raises(ConfigurationError, match="OPENENV_TRUST_REMOTE_CODE"):
        AutoEnv.from_env(said)


def test_a_folder_that_is_not_there_is_taken_for_a_space_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ProviderError) as caught:
        AutoEnv.from_env("envs/eccho_env")
    assert "no folder here" in " ".join(caught.value.__notes__)
