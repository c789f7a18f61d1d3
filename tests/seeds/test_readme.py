"""002: README."""

import sys
from pathlib import Path

import httpx
import pytest

import envs.echo_env
import openenv.core
from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app
from tests.seeds.conftest import Load, sample
from tests.serving import serving_elsewhere

YOUR_MODELS = """
from dataclasses import dataclass
from openenv import Action, Observation

@dataclass(kw_only=True)
class YourAction(Action):
    text: str

@dataclass(kw_only=True)
class YourObservation(Observation):
    response: str
"""
YOUR_ENVIRONMENT = """
from openenv import Environment
from your_env.models import YourObservation

class YourEnvironment(Environment):
    def reset(self):
        return YourObservation(response="Ready")

    def step(self, action):
        return YourObservation(response=action.text)
"""
FROM_DOCKER = 'EchoEnv.from_docker_image("echo-env:latest")'


def test_002_quick_start_prints_what_it_says(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    quick_start = sample("002_quick_start.txt")
    assert FROM_DOCKER in quick_start
    with serving_elsewhere(create_app(EchoEnvironment)) as url:
        # A server's URL in place of an image; what from_docker_image returns is a sync client.
        load("quick_start", quick_start.replace(FROM_DOCKER, f"EchoEnv({url!r}).sync()"))
    assert capsys.readouterr().out.splitlines() == [
        "Echo environment ready!",
        "Hello, World!",
        "1.3",
    ]


def test_002_web_interface_serves_the_page(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its import is of a package `core`, which is openenv.core here; the function that it calls is
    # another than the one that it imports; and your_env is an environment of its reader's.
    monkeypatch.setitem(sys.modules, "core", openenv.core)
    monkeypatch.setitem(sys.modules, "core.env_server", openenv.core.env_server)
    load("your_env.models", YOUR_MODELS)
    load("your_env.server.your_environment", YOUR_ENVIRONMENT)
    add_import = "from core.env_server import create_web_interface_app\n"
    with serving_elsewhere(load("web", add_import + sample("002_web_interface.txt")).app) as url:
        page = httpx.get(f"{url}/web", follow_redirects=True)
        assert (page.status_code, page.url) == (200, f"{url}/web/")
        assert page.headers["content-type"].startswith("text/html")
        assert httpx.get(f"{url}/web/config.json").json()["name"] == "YourEnvironment"
        httpx.post(f"{url}/web/reset")
        reply = httpx.post(f"{url}/web/step", json={"action": {"text": "hello"}})
        assert reply.json()["observation"] == {"response": "hello"}


def test_002_layout_of_an_environment(load: Load) -> None:
    # envs/ lies at the top here, and the environment's class is in server/environment.py.
    folder = Path(envs.echo_env.__file__).parent
    for path in (
        *("__init__.py", "models.py", "client.py", "README.md"),
        *("server/environment.py", "server/app.py", "server/Dockerfile"),
    ):
        assert (folder / path).is_file()
    load("user", "from envs.echo_env import EchoAction, EchoEnv, EchoObservation")
