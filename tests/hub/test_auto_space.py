"""AutoEnv with Spaces: played where they run, by their own client if its code may run here."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from openenv import AutoAction, AutoEnv
from openenv.app import create_app
from openenv.cli.scaffold import write_environment
from openenv.client.generic import GenericAction, GenericEnvClient
from openenv.errors import ConfigurationError
from openenv.hub.consent import ask_for_consent
from openenv.hub.starting import plan_space
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.space import SpaceProvider
from openenv.providers.uv import UVProvider
from openenv.server.target import load_target
from tests.hub.stub import HubStub, Space, serving_hub
from tests.serving import serving, serving_elsewhere

NAME = "other/line"


class Terminal(io.StringIO):
    """Somebody who sits there."""

    def isatty(self) -> bool:
        return True


class Echoes:
    """Needs no code of its client's."""

    def reset(self) -> dict[str, str]:
        return {"is": "reset"}

    def step(self, action: dict[str, str]) -> dict[str, str]:
        return action


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStub]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENENV_TRUST_REMOTE_CODE", raising=False)
    modules, path = set(sys.modules), list(sys.path)
    write_environment("line_env", tmp_path / "made" / "line_env")
    with serving_hub(monkeypatch, tmp_path / "cache") as stub:
        stub.spaces[NAME] = Space(NAME, files_of(tmp_path / "made/line_env"))
        yield stub
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("line_env"):
            del sys.modules[name]


def files_of(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@contextmanager
def running(hub: HubStub, folder: Path) -> Iterator[None]:
    with serving_elsewhere(load_target(str(folder / "made/line_env"))) as hub.spaces[NAME].host:
        yield


@pytest.mark.parametrize("call", [AutoEnv.from_env, AutoEnv.from_hub])
def test_a_space_is_played_by_its_own_client(
    hub: HubStub, tmp_path: Path, call: Callable[..., Any]
) -> None:
    with running(hub, tmp_path):
        env = call(NAME, trust_remote_code=True)
        Action = AutoAction.from_hub(NAME, trust_remote_code=True)
        try:
            env.reset(seed=1)
            result = env.step(Action(move=1))
            assert type(result.observation).__name__ == "LineObservation"
        finally:
            env.close()
    assert hub.spaces[NAME].stage == "RUNNING"


async def test_the_page_of_a_space_names_it_and_none_of_its_code_need_run(hub: HubStub) -> None:
    async with serving(create_app(Echoes)) as hub.spaces[NAME].host:
        page = f"https://huggingface.co/spaces/{NAME}"
        async with AutoEnv.from_env(page, skip_install=True) as env:
            assert isinstance(env, GenericEnvClient)
            assert (await env.reset()).observation == {"is": "reset"}
    assert AutoAction.from_env(NAME, skip_install=True) is GenericAction
    assert not any("/resolve/" in line for line in hub.asked)


def test_without_an_answer_nothing_is_downloaded(
    hub: HubStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(ConfigurationError, match=r"OPENENV_TRUST_REMOTE_CODE.*skip_install"):
        AutoEnv.from_env(NAME)
    assert not any("/resolve/" in line for line in hub.asked)


@pytest.mark.parametrize(
    ("name", "provider"), [(NAME, "uv"), (NAME, UVProvider()), ("git+https://host/a/b", None)]
)
def test_a_copy_that_runs_here_is_asked_for_too(
    hub: HubStub, monkeypatch: pytest.MonkeyPatch, name: str, provider: object
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(ConfigurationError, match=r"OPENENV_TRUST_REMOTE_CODE=1$"):
        AutoEnv.from_env(name, provider=provider, skip_install=True)
    assert hub.asked == []


def test_a_variable_answers_for_all(hub: HubStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENENV_TRUST_REMOTE_CODE", "1")
    assert AutoEnv.get_env_class(NAME).__name__ == "LineEnv"
    assert AutoEnv.get_env_info(NAME)["source"] == f"{NAME} {hub.spaces[NAME].sha}"


def test_what_has_changed_is_downloaded_anew_and_is_another_class(hub: HubStub) -> None:
    first = AutoEnv.get_env_class(NAME, trust_remote_code=True)
    files = hub.spaces[NAME].files
    files["client.py"] = files["client.py"].replace(
        b"class LineEnv", b"TOLD = 1\n\n\nclass LineEnv"
    )
    second = AutoEnv.get_env_class(NAME, trust_remote_code=True)
    assert first is not second
    assert sys.modules[second.__module__].TOLD == 1
    assert AutoEnv.get_env_class(NAME, trust_remote_code=True) is second


@pytest.mark.parametrize("answer", ["y\n", "YES\n", "n\n", "\n", ""])
def test_who_sits_at_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.delenv("OPENENV_TRUST_REMOTE_CODE", raising=False)
    if answer.lower().startswith("y"):
        ask_for_consent("the Space a/b")
    else:
        with pytest.raises(ConfigurationError, match="not agreed"):
            ask_for_consent("the Space a/b")
    assert "the Space a/b" in screen.getvalue()


@pytest.mark.parametrize("value", ["0", "", "no", "false"])
def test_a_variable_that_says_no_is_no_answer(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setenv("OPENENV_TRUST_REMOTE_CODE", value)
    with pytest.raises(ConfigurationError):
        ask_for_consent("the Space a/b")


def test_a_space_can_be_served_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9/")
    image, git = "registry.hf.space/org-a-b:latest", "git+http://127.0.0.1:9/spaces/org/A_b"
    for provider, asked, kind, what in (
        (None, None, SpaceProvider, "org/A_b"),
        ("docker", None, LocalDockerProvider, "registry.hf.space/org-a-b:latest"),
        (None, "mine:1", LocalDockerProvider, "mine:1"),
        ("uv", None, UVProvider, git),
        (UVProvider(), None, UVProvider, git),
        (SpaceProvider(), None, SpaceProvider, "org/A_b"),
        (LocalDockerProvider(), None, LocalDockerProvider, image),
    ):
        start = plan_space("org/A_b", provider, asked)
        assert (type(start.provider), start.what) == (kind, (what,))
    with pytest.raises(ConfigurationError, match="by docker, by uv"):
        plan_space("org/A_b", "process")
