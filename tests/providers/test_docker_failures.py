"""Containers that come to nothing: the error says why, and nothing is left of them."""

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from envs.echo_env import EchoAction, EchoEnv
from openenv.errors import (
    ConfigurationError,
    ConnectionLost,
    ImageNotFound,
    ProviderError,
    ProviderUnavailable,
    StartupFailed,
    StartupTimeout,
)
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.health import health_status
from tests.containers import Containers
from tests.patience import patient, within
from tests.processes import ENVIRON

HOARDS = ["python", "-c", "kept = [bytearray(2**24) for _ in range(64)]"]
SLEEPS = ["sleep", "60"]


# The SDK leaves the socket open with which it does not reach a daemon.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _sockets_of_the_sdk_are_collected_here() -> Iterator[None]:
    yield
    gc.collect()


def failure(
    containers: Containers, timeout_s: float = patient(20), **options: Any
) -> StartupFailed:
    """The error of a container whose server does not come up; nothing is left of it."""
    with pytest.raises(StartupFailed) as caught:
        EchoEnv.from_docker_image(containers.image, timeout_s=timeout_s, **options)
    assert containers.left() == []
    return caught.value


# ---- what a container does


def test_one_that_exits_at_once_tells_its_exit_code_and_last_lines(containers: Containers) -> None:
    error = failure(containers, command=["sh", "-c", "echo so far so good; echo oh no >&2; exit 7"])
    assert error.exit_code == 7
    assert error.last_lines is not None
    assert set(error.last_lines.splitlines()) == {"so far so good", "oh no"}
    assert "exit code 7" in str(error)
    assert "oh no" in str(error)
    assert containers.image in str(error)


def test_one_that_exits_without_a_word_is_said_to_be_silent(containers: Containers) -> None:
    assert "its log is empty" in str(failure(containers, command=["true"]))


def test_only_the_last_lines_are_shown(containers: Containers) -> None:
    error = failure(containers, command=["sh", "-c", "seq 1000; exit 1"])
    assert error.last_lines is not None
    assert error.last_lines.splitlines() == [str(n) for n in range(981, 1001)]


def test_a_program_that_the_image_lacks_is_named(containers: Containers) -> None:
    with pytest.raises(ProviderError, match="no-such-program"):
        EchoEnv.from_docker_image(containers.image, command=["no-such-program"], init=False)
    assert containers.left() == []


def test_one_that_needs_more_memory_than_it_may_have_is_said_to(containers: Containers) -> None:
    error = failure(containers, command=HOARDS, memory="48m")
    assert (error.out_of_memory, error.exit_code) == (True, 137)
    assert "48 MiB" in str(error)
    assert "memory=" in str(error)


def test_one_that_lacks_a_capability_is_said_to(containers: Containers) -> None:
    change = ["python", "-c", "import os; os.chown('/tmp', 1, 1)"]
    error = failure(containers, command=change, user="0:0")
    assert "cap_add" in str(error)


def test_an_image_without_a_server_is_not_ready_in_time(containers: Containers) -> None:
    error = failure(containers, command=SLEEPS, timeout_s=0.5)
    assert isinstance(error, StartupTimeout)
    assert "0.5 s" in str(error)
    assert "container_port" in str(error)
    error = failure(containers, command=SLEEPS, timeout_s=0.5, network="none")
    assert "OPENENV_UDS" in str(error)


def test_a_server_that_answers_something_else_is_quoted(containers: Containers) -> None:
    serve = ["python", "-m", "http.server", "8000", "--directory", "/tmp"]
    provider = LocalDockerProvider(command=serve)
    url = provider.start_container(containers.image)
    deadline = time.monotonic() + patient(20)
    while health_status(url) != 404:
        assert time.monotonic() < deadline
    with pytest.raises(StartupTimeout, match="it answers 404"):
        provider.wait_for_ready(url, 0.2)
    assert containers.left() == []


def test_an_image_that_finds_itself_unhealthy_is_believed(containers: Containers) -> None:
    name = "openenv-tests-ill:latest"
    often = "--interval=100ms --start-period=1ms --retries=1"
    check = f'HEALTHCHECK {often} CMD echo "I feel ill"; exit 1'
    with containers.image_of(name, {}, *SLEEPS, more=check):
        with pytest.raises(StartupFailed, match="I feel ill") as caught:
            EchoEnv.from_docker_image(name, timeout_s=patient(20))
        assert not isinstance(caught.value, StartupTimeout)
    assert containers.left() == []


def test_a_container_that_disappears_meanwhile_is_missed(containers: Containers) -> None:
    provider = LocalDockerProvider(command=SLEEPS)
    url = provider.start_container(containers.image)
    containers.get(provider.container_name).remove(force=True)
    with pytest.raises(StartupFailed, match="removed by somebody"):
        provider.wait_for_ready(url)
    assert provider.container_name is None


def test_blocking_code_waits_no_longer_than_it_said(containers: Containers) -> None:
    provider = LocalDockerProvider(command=SLEEPS)
    url = provider.start_container(containers.image)
    with pytest.raises(StartupTimeout, match=r"0\.2 s"):
        provider.wait_for_ready(url, 0.2)
    assert containers.left() == []
    assert provider.container_name is None


def test_an_answer_of_somebody_else_on_its_port_is_not_believed(containers: Containers) -> None:
    provider = LocalDockerProvider(command=["true"])
    provider.start_container(containers.image)
    containers.get(provider.container_name).wait()
    with answering(200, {}) as other, pytest.raises(StartupFailed, match="exit code 0"):
        provider.wait_for_ready(other)


@pytest.mark.parametrize(
    ("end", "told"), [(Container.kill, "exit code 137"), (Container.remove, "container is gone")]
)
async def test_a_client_is_told_at_once_when_its_container_has_ended(
    containers: Containers, end: Any, told: str
) -> None:
    provider = LocalDockerProvider()
    async with EchoEnv.from_docker_image(containers.image, provider) as env:
        await env.reset()
        container = containers.get(provider.container_name)
        end(container, **({"force": True} if end is Container.remove else {}))
        # A link would be kept for a minute, in the hope that its server comes back.
        async with within(10):
            with pytest.raises(ConnectionLost, match=told):
                await env.step(EchoAction(message="still there?"))


async def test_while_docker_does_not_answer_a_client_goes_on_trying(
    containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = LocalDockerProvider(command=["true"])
    await asyncio.to_thread(provider.start_container, containers.image)
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///no/such/docker.sock")
        assert await provider.how_it_ended() is None
    await provider.aclose()


# ---- what does not exist, and what Docker refuses


def test_an_image_that_exists_nowhere_is_named_with_what_to_run(containers: Containers) -> None:
    with pytest.raises(ImageNotFound, match="openenv build") as caught:
        EchoEnv.from_docker_image("127.0.0.1:1/no-such-env:latest")
    assert "127.0.0.1:1/no-such-env:latest" in str(caught.value)
    with pytest.raises(ImageNotFound, match="may not be pulled"):
        EchoEnv.from_docker_image("no-such-env:latest", pull="never")


def test_an_image_is_pulled_if_it_always_is_to_be(containers: Containers) -> None:
    elsewhere = "127.0.0.1:1/echo-env:latest"
    containers.client.images.get(containers.image).tag(elsewhere)
    try:
        LocalDockerProvider(command=["true"]).start_container(elsewhere)
        with pytest.raises(ImageNotFound, match=r"127\.0\.0\.1:1"):
            LocalDockerProvider(pull="always").start_container(elsewhere)
    finally:
        containers.client.images.remove(elsewhere, noprune=True)


def test_a_name_that_no_image_can_have_is_refused(containers: Containers) -> None:
    with pytest.raises(ProviderError, match="Not An Image"):
        EchoEnv.from_docker_image("Not An Image")


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"network": "openenv-no-such-network"}, "docker network create"),
        ({"runtime": "no-such-runtime"}, "daemon.json"),
        ({"gpus": "all"}, "NVIDIA"),
        ({"platform": "linux/s390x"}, "for that one"),
        ({"memory": "1k"}, "memory"),
        ({"cap_add": "NO_SUCH_CAPABILITY"}, "NO_SUCH_CAPABILITY"),
        ({"user": "nobody-knows-me"}, "nobody-knows-me"),
        ({"name": "not a name"}, "not a name"),
    ],
    ids=str,
)
def test_what_docker_refuses_is_passed_on_with_a_remedy(
    containers: Containers, options: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(ProviderError, match=remedy):
        LocalDockerProvider(command=SLEEPS).start_container(containers.image, **options)
    assert containers.left() == []


def test_a_name_that_is_taken_is_refused_and_its_owner_goes_on(containers: Containers) -> None:
    provider = LocalDockerProvider(command=SLEEPS)
    provider.start_container(containers.image)
    name = provider.container_name
    with pytest.raises(ProviderError, match="already in use"):
        LocalDockerProvider(command=SLEEPS, name=name).start_container(containers.image)
    assert containers.left() == [name]
    provider.stop_container()


async def test_unknown_keywords_are_named_before_anything_is_started(
    containers: Containers,
) -> None:
    with pytest.raises(ConfigurationError, match="memroy"):
        await EchoEnv.from_docker_image(containers.image, memroy="1g")
    assert containers.left() == []


# ---- no daemon


@pytest.mark.parametrize(
    ("host", "remedy"),
    [
        ("unix:///no/such/docker.sock", "/no/such/docker.sock"),
        ("tcp://127.0.0.1:1", "127.0.0.1:1"),
        ("gopher://docker", "gopher"),
    ],
)
async def test_without_a_daemon_it_is_said_where_it_was_looked_for(
    monkeypatch: pytest.MonkeyPatch, host: str, remedy: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(ProviderUnavailable, match=remedy):
        await EchoEnv.from_docker_image("echo-env:latest")


def test_settings_that_docker_cannot_use_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(ProviderUnavailable, match="settings"):
        LocalDockerProvider().start_container("echo-env:latest")


def test_a_context_that_does_not_exist_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "gone"}), "utf-8")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(ProviderUnavailable, match="context"):
        LocalDockerProvider().start_container("echo-env:latest")


AS_SOMEBODY_ELSE = """
import os, docker, requests
from openenv.errors import ProviderUnavailable
from openenv.providers.docker_daemon import docker_client

if os.geteuid() == 0:  # to whom no file is closed
    os.setegid(65534), os.seteuid(65534)
try:
    with docker_client():
        print("reached")
except ProviderUnavailable as error:
    print(error)
"""


def test_a_daemon_that_this_user_may_not_use_is_told_from_none() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        # Short, as an address of a socket has to be.
        path = f"/tmp/openenv-tests-{os.getpid()}.sock"
        listener.bind(path)
        try:
            os.chmod(path, 0o600 if os.geteuid() == 0 else 0)
            listener.listen()
            done = subprocess.run(
                [sys.executable, "-c", AS_SOMEBODY_ELSE],
                env=ENVIRON | {"DOCKER_HOST": f"unix://{path}"},
                capture_output=True,
                text=True,
            )
        finally:
            os.unlink(path)
    assert "group `docker`" in done.stdout, done.stderr


@contextmanager
def answering(status: int, said: Mapping[str, Any]) -> Iterator[str]:
    """A fake daemon, for what a real one does not do on demand; what it says goes by the path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            # The SDK begins by asking which version it talks to.
            is_version = path.endswith("/version")
            answer = next((one for end, one in said.items() if path.endswith(end)), {})
            body = json.dumps({"ApiVersion": "1.41"} if is_version else answer).encode()
            self.send_response(200 if is_version else status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_daemon_that_refuses_everything_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(500, {"": {"message": "the disk is full"}}) as url:
        monkeypatch.setenv("DOCKER_HOST", url.replace("http", "tcp"))
        with pytest.raises(ProviderError, match="Docker refuses: the disk is full"):
            LocalDockerProvider(host="127.0.0.1").start_container("echo-env:latest")


def test_a_daemon_elsewhere_publishes_nothing_unless_told_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = {"Id": "sha256:1", "Config": {}}
    said = {"containers/json": [], "networks": [], "images/echo-env:latest/json": image}
    with answering(200, said) as url:
        monkeypatch.setenv("DOCKER_HOST", url.replace("http", "tcp"))
        with pytest.raises(ConfigurationError, match="host="):
            LocalDockerProvider().start_container("echo-env:latest")
        with pytest.raises(ConfigurationError, match="Docker must run here"):
            LocalDockerProvider(network="none").start_container("echo-env:latest")


def test_without_the_sdk_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(ProviderUnavailable, match=r"openenv\[docker\]"):
        asyncio.run(LocalDockerProvider().open("echo-env:latest"))
