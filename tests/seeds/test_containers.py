"""The lines of all documents that start containers, against a real Docker daemon.

The images have the names that the documents give them.
"""

import asyncio
from collections.abc import Iterator

import pytest

from openenv.providers.health import health_status
from tests.containers import Containers
from tests.seeds.conftest import Load, sample

ECHO = ("openenv", "serve", "echo_env", "--host", "0.0.0.0")

# The client uses Any without importing it.
CLIENT_000 = "from typing import Any\n" + sample("000_client.txt")

# The place that the sample leaves open.
USE = """
from openenv.client.generic import GenericEnvClient
with GenericEnvClient(base_url).sync() as env:
    used = env.reset()
"""

# The client uses the environment's classes without importing them.
CLIENT_003 = "from my_environment import MyAction, MyObservation, MyState\n" + sample(
    "003_client.txt"
)
TEST_003 = "from client import MyEnv\nfrom my_environment import MyAction\n" + sample(
    "003_practices_test.txt"
)

AWAITED = """
from envs.echo_env import EchoAction, EchoEnv

async def main():
    client = await EchoEnv.from_docker_image("echo-env:latest")
    result = await client.reset()
    print(result.observation.echoed_message)
    await client.close()
"""


@pytest.fixture
def my_env(containers: Containers) -> Iterator[None]:
    """The image my-env:latest of the first release's server, run as its last line says."""
    serve = ("uvicorn", "server:app", "--host", "0.0.0.0", "--port", "8000")
    with containers.image_of("my-env:latest", {"server.py": sample("000_server.txt")}, *serve):
        yield


@pytest.fixture
def echo_env(containers: Containers) -> Iterator[None]:
    with containers.image_of("echo-env:latest", {}, *ECHO):
        yield


@pytest.mark.usefixtures("my_env")
def test_000_client_plays_in_a_container(load: Load, containers: Containers) -> None:
    client = load("client", CLIENT_000)
    assert client.result.observation == client.MyObservation(response="Ready")
    assert client.step_result.observation == client.MyObservation(response="Echo: hello")
    assert (client.step_result.reward, client.step_result.done) == (1.0, False)
    assert containers.left() == []


@pytest.mark.usefixtures("my_env")
def test_000_local_docker_provider(load: Load, containers: Containers) -> None:
    text = sample("000_docker.txt").replace("# Use environment...", USE)
    module = load("docker_provider", text)
    assert module.used.observation["response"] == "Ready"
    assert containers.left() == []
    assert health_status(module.base_url) is None


@pytest.mark.usefixtures("echo_env")
def test_002_quick_start_starts_a_container(
    load: Load, containers: Containers, capsys: pytest.CaptureFixture[str]
) -> None:
    load("quick_start", sample("002_quick_start.txt"))
    assert capsys.readouterr().out.splitlines() == [
        "Echo environment ready!",
        "Hello, World!",
        "1.3",
    ]
    assert containers.left() == []


@pytest.mark.usefixtures("echo_env")
def test_002_quick_start_may_be_awaited(
    load: Load, containers: Containers, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(load("awaited", AWAITED).main())
    assert capsys.readouterr().out == "Echo environment ready!\n"
    assert containers.left() == []


def test_003_practices_test_an_environment_in_its_container(
    load: Load, containers: Containers
) -> None:
    files = {"my_environment.py": sample("003_environment.txt")}
    serve = ("openenv", "serve", "my_environment:MyEnvironment", "--host", "0.0.0.0")
    load("my_environment", files["my_environment.py"])
    load("client", CLIENT_003)
    with containers.image_of("my_env:latest", files, *serve):
        load("practices", TEST_003).test_environment()
    assert containers.left() == []
