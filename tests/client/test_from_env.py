"""`from_env` of a client: a copy of a Space, a repository or a folder, served on this machine."""

import sys
from pathlib import Path
from typing import Any

import pytest

from envs.echo_env import EchoEnv
from openenv.client.blocking.sync import SyncEnvClient
from openenv.client.generic import GenericEnvClient
from openenv.client.http.client import HTTPEnvClient
from openenv.errors import ConfigurationError
from openenv.providers.base import Endpoint, Provider
from openenv.providers.process import ProcessProvider
from tests.processes import ROOT


class Asked(Provider):
    """Remembers what it was to start."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def open(self, *what: Any, timeout_s: float = 0, **options: Any) -> Endpoint:
        self.asked = [*what, options]
        return Endpoint("http://127.0.0.1:9")

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("cls", [EchoEnv, GenericEnvClient, SyncEnvClient, HTTPEnvClient])
@pytest.mark.parametrize(
    ("repository", "use_docker", "started"),
    [
        ("org/My_Env", True, "registry.hf.space/org-my-env:latest"),
        ("org/My_Env", False, "git+https://huggingface.co/spaces/org/My_Env"),
        ("https://huggingface.co/spaces/org/a", True, "registry.hf.space/org-a:latest"),
        ("git+https://host/a", False, "git+https://host/a"),
        (str(ROOT / "envs/echo_env"), True, "echo-env:latest"),
        (str(ROOT / "envs/echo_env"), False, str(ROOT / "envs/echo_env")),
    ],
)
def test_what_is_started_is_the_spaces_image_or_its_repository(
    cls: Any, repository: str, use_docker: bool, started: str
) -> None:
    provider = Asked()
    env = cls.from_env(repository, use_docker=use_docker, provider=provider, env_vars={"A": "1"})
    env.close()
    assert provider.asked == [started, {"env_vars": {"A": "1"}}]


@pytest.mark.parametrize("name", ["echo-env", "no/such/folder", ""])
def test_what_is_neither_is_said(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"AutoEnv\.from_env"):
        GenericEnvClient.from_env(name)


async def test_it_can_be_awaited_and_plays() -> None:
    # By a process, as uv would install what is installed here.
    folder = str(ROOT / "envs/echo_env")
    env = await EchoEnv.from_env(folder, use_docker=False, provider=ProcessProvider())
    async with env:
        assert (await env.reset()).observation.echoed_message


def test_containers_need_no_yaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    provider = Asked()
    EchoEnv.from_env("org/a", provider=provider).close()
    assert provider.asked[0] == "registry.hf.space/org-a:latest"
