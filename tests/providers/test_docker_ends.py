"""However a start or a client ends, nothing is left: cancelled, interrupted, killed, forked."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container, ContainerCollection

from envs.echo_env import EchoEnv
from openenv.providers.docker import LocalDockerProvider
from tests.containers import Containers
from tests.patience import patient
from tests.processes import ENVIRON, openenv
from tests.providers.environments import wait_until_gone

# ---- cancelled

STAGES = {"create": ContainerCollection, "start": Container, "logs": Container}


@contextmanager
def telling(stage: str) -> Iterator[threading.Event]:
    """Set an event when the SDK is called, which goes on all the same."""
    cls, event = STAGES[stage], threading.Event()
    called = getattr(cls, stage)

    def tell(*arguments: Any, **keywords: Any) -> Any:
        event.set()
        return called(*arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cls, stage, tell)
        yield event


@pytest.mark.parametrize("stage", ["create", "start"])
async def test_a_start_that_is_cancelled_leaves_nothing(containers: Containers, stage: str) -> None:
    provider = LocalDockerProvider()
    with telling(stage) as reached:
        task = asyncio.create_task(EchoEnv.from_docker_image(containers.image, provider))
        await asyncio.to_thread(reached.wait, patient(20))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert containers.left() == []
    assert provider.container_name is None


async def test_waiting_for_a_server_can_be_cancelled(containers: Containers) -> None:
    provider = LocalDockerProvider(command=["sleep", "60"])
    task = asyncio.create_task(provider.open(containers.image))
    with telling("start") as reached:
        await asyncio.to_thread(reached.wait, patient(20))
    while not await asyncio.to_thread(containers.left):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert containers.left() == []


async def test_a_deadline_of_the_caller_s_holds_too(containers: Containers) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await EchoEnv.from_docker_image(containers.image, command=["sleep", "60"])
    assert containers.left() == []


class HangingRegistry:
    """A fake registry that says that it is one, and no more until it is released."""

    def __init__(self) -> None:
        self.asked, self.released = threading.Event(), threading.Event()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path != "/v2/":
                    registry.asked.set()
                    registry.released.wait(patient(20))
                self.send_response(200 if self.path == "/v2/" else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> "HangingRegistry":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


async def test_pulling_can_be_cancelled(containers: Containers) -> None:
    with HangingRegistry() as registry:
        name = f"127.0.0.1:{registry.server.server_port}/some-env:latest"
        task = asyncio.create_task(EchoEnv.from_docker_image(name))
        await asyncio.to_thread(registry.asked.wait, patient(20))
        task.cancel()
        # Docker tells nothing while it waits for a registry, and is heard when it does.
        asyncio.get_running_loop().call_soon(registry.released.set)
        with pytest.raises(asyncio.CancelledError):
            await task


# ---- a client's process ends

BEGINNING = """
import asyncio, os, signal, sys, time
from docker.models.containers import Container, ContainerCollection
from envs.echo_env import EchoEnv
from openenv.providers import watchdog
from openenv.providers.docker import LocalDockerProvider

def tell(word):
    shell = watchdog.watchdog._shell
    print(word, shell and shell.pid, flush=True)

def telling(cls, name):
    called = getattr(cls, name)
    def call(*arguments, **keywords):
        tell(name)
        return called(*arguments, **keywords)
    setattr(cls, name, call)

telling(ContainerCollection, "create")
telling(Container, "start")
image, stage = sys.argv[1:]
options = {} if stage == "up" else {"command": ["sleep", "60"]}
"""

PROVIDER = """
provider = LocalDockerProvider(**options)
url = provider.start_container(image)
tell("wait")
provider.wait_for_ready(url)
tell("up")
signal.pause()
"""

CLIENT = """
env = EchoEnv.from_docker_image(image, **options)
env.reset()
tell("up")
signal.pause()
"""

ASYNC = """
async def main():
    async with EchoEnv.from_docker_image(image, **options) as env:
        await env.reset()
        tell("up")
        await asyncio.Event().wait()
asyncio.run(main())
"""

FORKS = """
provider = LocalDockerProvider(command=["sleep", "60"])
provider.start_container(image)
child = os.fork()
if not child:
    provider.stop_container()
    LocalDockerProvider(command=["true"])
    if stage == "ends":
        sys.exit()
    signal.pause()
if stage == "ends":
    os.waitpid(child, 0)
print("child", child, flush=True)
tell("up")
signal.pause()
"""


class Client:
    """A Python process that says how far it is, and which process watches over it."""

    def __init__(
        self, containers: Containers, program: str, stage: str, cwd: Path | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", BEGINNING + program, containers.image, stage],
            cwd=cwd,
            env=ENVIRON,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.told: dict[str, int] = {}

    def wait_for(self, stage: str) -> None:
        """Return when it is there."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, _, number = line.partition(" ")
            self.told[word] = int(number)
            if word == stage:
                return
        raise AssertionError(self.process.communicate()[1])

    @property
    def watchdog(self) -> int:
        return next(reversed(self.told.values()))

    def end(self, number: int) -> str:
        """Send it a signal and wait for its end; return what it wrote to stderr."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=patient(30))[1]


@contextmanager
def running(
    containers: Containers, program: str, stage: str, cwd: Path | None = None
) -> Iterator[Client]:
    client = Client(containers, program, stage, cwd)
    try:
        client.wait_for(stage)
        yield client
    finally:
        client.process.kill()
        client.process.communicate()


@pytest.mark.parametrize(
    ("program", "stage"),
    [
        (PROVIDER, "create"),
        (PROVIDER, "start"),
        (PROVIDER, "wait"),
        (CLIENT, "create"),
        (CLIENT, "start"),
        (CLIENT, "up"),
        (ASYNC, "create"),
        (ASYNC, "up"),
    ],
    ids=lambda one: {PROVIDER: "provider", CLIENT: "client", ASYNC: "async"}.get(one, one),
)
def test_after_ctrl_c_nothing_is_left(containers: Containers, program: str, stage: str) -> None:
    with running(containers, program, stage) as client:
        told = client.end(signal.SIGINT)
        assert client.process.returncode == -signal.SIGINT
        wait_until_gone(client.watchdog)
    assert containers.left() == []
    assert told.rstrip().endswith("KeyboardInterrupt"), told
    assert "ignored" not in told


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("stage", ["create", "up"])
def test_the_watchdog_removes_what_a_killed_client_leaves(
    containers: Containers, stage: str, number: int
) -> None:
    with running(containers, CLIENT, stage) as client:
        client.end(number)
        wait_until_gone(client.watchdog)
    assert containers.left() == []


def test_the_watchdog_runs_no_code_that_lies_in_its_folder(
    containers: Containers, tmp_path: Path
) -> None:
    for name in ("openenv", "docker", "logging"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("open('ran', 'w')", "utf-8")
    with running(containers, PROVIDER, "wait", tmp_path) as client:
        client.end(signal.SIGKILL)
        wait_until_gone(client.watchdog)
    assert containers.left() == []
    assert not (tmp_path / "ran").exists()


def test_a_client_that_ends_without_a_word_takes_its_container_along(
    containers: Containers,
) -> None:
    with running(containers, CLIENT.replace("signal.pause()", ""), "up") as client:
        assert client.process.communicate(timeout=patient(30))[1] == ""
        assert client.process.returncode == 0
        wait_until_gone(client.watchdog)
    assert containers.left() == []


def watchdogs() -> int:
    """How many processes watch over this one."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = (process / "stat").read_text("utf-8").rpartition(")")[2].split()
            is_child = int(status[1]) == os.getpid()
            found += is_child and b"openenv-watchdog" in (process / "cmdline").read_bytes()
    return found


def test_one_process_watches_while_there_are_containers(containers: Containers) -> None:
    providers = [LocalDockerProvider(command=["sleep", "60"]) for _ in range(2)]
    assert watchdogs() == 0
    for provider in providers:
        provider.start_container(containers.image)
        assert watchdogs() == 1
    providers[0].stop_container()
    assert watchdogs() == 1
    providers[1].stop_container()
    assert watchdogs() == 0


@pytest.mark.parametrize("sweeper", ["prune", "the next start"])
def test_what_both_leave_when_killed_is_swept_by(containers: Containers, sweeper: str) -> None:
    with running(containers, PROVIDER, "wait") as client:
        os.kill(client.watchdog, signal.SIGKILL)
        client.end(signal.SIGKILL)
        wait_until_gone(client.watchdog)
    [name] = containers.left()
    if sweeper == "prune":
        assert openenv("prune").stdout.split().count(name) == 1
    else:
        provider = LocalDockerProvider(command=["true"])
        provider.start_container(containers.image)
        assert containers.left() == [provider.container_name]
        provider.stop_container()
    assert containers.left() == []


@pytest.mark.parametrize("child", ["ends", "stays"])
def test_a_fork_neither_stops_nor_keeps_its_parents_container(
    containers: Containers, child: str
) -> None:
    with running(containers, FORKS.replace('tell("up")', f'tell("{child}")'), child) as client:
        [name] = containers.left()
        assert containers.get(name).status == "running"
        try:
            client.process.kill()
            # While the child still lives, it must not hold the pipe open.
            wait_until_gone(client.watchdog)
        finally:
            if child == "stays":
                os.kill(client.told["child"], signal.SIGKILL)
    assert containers.left() == []
