"""002: README."""

from pathlib import Path

import pytest

import envs.echo_env
from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app
from tests.seeds.conftest import Load, sample
from tests.serving import serving_elsewhere

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


def test_002_layout_of_an_environment(load: Load) -> None:
    # envs/ lies at the top here, and the environment's class is in server/environment.py.
    folder = Path(envs.echo_env.__file__).parent
    for path in (
        *("__init__.py", "models.py", "client.py", "README.md"),
        *("server/environment.py", "server/app.py", "server/Dockerfile"),
    ):
        assert (folder / path).is_file()
    load("user", "from envs.echo_env import EchoAction, EchoEnv, EchoObservation")
