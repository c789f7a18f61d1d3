"""`openenv run`, `ps`, `logs`, `stop` and `prune`, with a real Docker daemon."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from envs.echo_env import EchoAction, EchoEnv
from openenv.cli.main import app
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.docker_cleanup import IMAGE_LABEL, OWNER_LABEL
from openenv.providers.ownership import Owner
from tests.containers import Containers
from tests.patience import patient
from tests.processes import ENVIRON, OPENENV
from tests.providers.environments import wait_until_gone

SLEEP = ["sleep", "60"]
COMMANDS = (
    ("run", "echo-env:latest"),
    ("ps",),
    ("logs", "one"),
    ("stop", "one"),
    ("prune",),
)


def command(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, arguments)


class Run:
    """`openenv run` as a process, from its first line on."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*OPENENV, "run", *arguments],
            env=ENVIRON,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()

    def end(self, number: int) -> tuple[int, str]:
        """Send it a signal; return its exit code and what it has written to stderr."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        err = self.process.communicate(timeout=patient(30))[1]
        return self.process.returncode, err


@contextmanager
def running(*arguments: str) -> Iterator[Run]:
    run = Run(*arguments)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.communicate()


@pytest.fixture
def sleeping(containers: Containers) -> Iterator[str]:
    """The name of a container of this process that serves nothing."""
    provider = LocalDockerProvider(command=["sh", "-c", "echo one; echo two; exec sleep 60"])
    provider.start_container(containers.image)
    container = containers.get(provider.container_name)
    for _ in range(100):  # it is started before it has said all
        if b"two" in container.logs():
            break
        time.sleep(0.1)
    else:
        pytest.fail("the container says nothing")
    yield str(provider.container_name)
    provider.stop_container()


# ---- run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_until_it_is_told_to_stop(containers: Containers, number: int) -> None:
    with running(containers.image) as run:
        assert run.said, run.wait()
        name, runs, image, on, url = run.said.split()
        assert (runs, image, on) == ("runs", containers.image, "on")
        assert containers.left() == [name]
        with EchoEnv(url).sync() as env:
            env.reset()
            assert env.step(EchoAction(message="hello")).reward == 0.5
        code, err = run.end(number)
    assert code == 0
    assert "serving EchoEnvironment" in err  # its log
    assert "Traceback" not in err
    assert containers.left() == []


def test_run_that_is_killed_leaves_nothing(containers: Containers) -> None:
    with running(containers.image, "--json") as run:
        assert run.said, run.wait()
        name = json.loads(run.said)["name"]
        run.end(signal.SIGKILL)
        containers.wait_until_gone(name)
    assert containers.left() == []


def test_run_ends_with_its_container_and_says_why(containers: Containers) -> None:
    with running(containers.image, "--json") as run:
        assert run.said, run.wait()
        told = json.loads(run.said)
        assert told["image"] == containers.image
        containers.get(told["name"]).kill()
        code, err = run.wait()
    assert code == 1
    assert err.splitlines()[-1].endswith("has ended: exit code 137")
    assert containers.left() == []


def test_run_can_be_interrupted_while_it_waits(containers: Containers) -> None:
    name = "openenv-tests-sleeps:latest"
    with containers.image_of(name, {}, *SLEEP):
        events = containers.client.events(
            decode=True, filters={"container": "openenv-tests-sleeps", "event": "start"}
        )
        run = subprocess.Popen(
            [*OPENENV, "run", name, "--name", "openenv-tests-sleeps"],
            env=ENVIRON,
            stderr=subprocess.PIPE,
            text=True,
        )
        next(events)
        events.close()
        run.send_signal(signal.SIGINT)
        err = run.communicate(timeout=patient(30))[1]
    assert (run.returncode, err) == (130, "openenv: stopped\n")
    everything = containers.client.containers.list(all=True, filters={"name": "tests-sleeps"})
    assert everything == []


def test_run_detached_leaves_it_running_until_it_is_stopped(containers: Containers) -> None:
    name = containers.image.partition(":")[0]
    done = command(
        *("run", containers.image, "--detach", "--name", name, "--json"),
        *("--memory", "256m", "--cpus", "0.5", "--read-only", "--tmpfs", "/scratch:size=1m"),
        *("--pids-limit", "99", "--user", "4321:4321", "--env", "ONE=1", "--env", "HOME"),
        *("--cap-add", "NET_RAW", "--new-privileges", "--volume", "/usr:/outside:ro"),
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    attributes = containers.get(name).attrs
    config = attributes["HostConfig"]
    assert (config["Memory"], config["NanoCpus"]) == (2**28, 500_000_000)
    assert (config["ReadonlyRootfs"], config["PidsLimit"]) == (True, 99)
    assert config["Tmpfs"] == {"/scratch": "size=1m"}
    assert (config["CapAdd"], config["SecurityOpt"]) == (["NET_RAW"], None)
    assert config["Binds"] == ["/usr:/outside:ro"]
    assert attributes["Config"]["User"] == "4321:4321"
    assert {"ONE=1", f"HOME={ENVIRON['HOME']}"} <= set(attributes["Config"]["Env"])
    with EchoEnv(told["url"]).sync() as env:
        env.reset()
    [shown] = [one for one in json.loads(command("ps", "--json").stdout) if one["name"] == name]
    assert (shown["owner"], shown["owner_pid"], shown["is_orphaned"]) == ("detached", None, False)
    assert shown["url"] == told["url"]
    assert "serving EchoEnvironment" in command("logs", name).stdout
    assert command("stop", name).stdout == f"{name}\n"
    assert containers.left() == []


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("127.0.0.1:1/no-such-env:latest",), 1, "openenv build"),
        (("no-such-env:latest", "--pull", "never"), 1, "may not be pulled"),
        (("echo-env:latest", "--memory", "lots"), 1, "'lots'"),
        (("echo-env:latest", "--env", "NO_SUCH_VARIABLE"), 1, "NO_SUCH_VARIABLE"),
        (("echo-env:latest", "--network", "host"), 1, "host"),
        (("echo-env:latest", "--port", "70000"), 2, "65535"),
        (("echo-env:latest", "--memroy", "1g"), 2, "--memroy"),
        ((), 2, "image"),
    ],
)
def test_run_says_what_is_wrong(
    containers: Containers, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    done = command("run", *arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda one: one[0])
def test_without_a_daemon_each_says_so(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "gopher://docker")
    done = command(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("openenv: no Docker daemon answers at gopher://docker")
    assert done.stderr.count("\n") == 1


# ---- ps, logs, stop


def test_ps_shows_whose_they_are(containers: Containers, sleeping: str) -> None:
    [shown] = [one for one in json.loads(command("ps", "--json").stdout) if one["name"] == sleeping]
    assert (shown["image"], shown["status"]) == (containers.image, "running")
    owner = Owner.this_process()
    assert (shown["owner"], shown["owner_pid"]) == ("alive", owner.pid)
    heading, *rows = command("ps").stdout.splitlines()
    assert heading.split() == ["NAME", "IMAGE", "STATUS", "URL", "AGE", "OWNER"]
    [row] = [row for row in rows if row.startswith(sleeping)]
    assert shown["url"] in row
    assert f"alive (pid {owner.pid})" in row


def test_ps_shows_what_has_ended_too(containers: Containers, sleeping: str) -> None:
    containers.get(sleeping).kill()
    [shown] = [one for one in json.loads(command("ps", "--json").stdout) if one["name"] == sleeping]
    assert (shown["status"], shown["url"]) == ("exited", None)


def test_logs_are_printed_whole_or_from_the_end(sleeping: str) -> None:
    assert command("logs", sleeping).stdout == "one\ntwo\n"
    assert command("logs", sleeping, "--tail", "1").stdout == "two\n"
    assert command("logs", sleeping, "--tail", "0").stdout == ""


def test_logs_are_followed_to_the_container_s_end(containers: Containers, sleeping: str) -> None:
    following = subprocess.Popen(
        [*OPENENV, "logs", sleeping, "--follow"], env=ENVIRON, stdout=subprocess.PIPE, text=True
    )
    assert following.stdout is not None
    assert [following.stdout.readline() for _ in range(2)] == ["one\n", "two\n"]
    assert following.poll() is None
    containers.get(sleeping).kill()
    assert following.communicate(timeout=patient(30))[0] == ""
    assert following.returncode == 0


def test_a_container_is_named_by_its_id_or_its_image_too(
    containers: Containers, sleeping: str
) -> None:
    identity = containers.get(sleeping).id
    assert command("logs", identity[:12]).stdout == "one\ntwo\n"
    assert command("logs", containers.image).stdout == "one\ntwo\n"
    assert command("logs", containers.image.removesuffix(":latest")).stdout == "one\ntwo\n"
    assert command("logs", containers.image[:-9]).exit_code == 1
    other = LocalDockerProvider(command=SLEEP)
    other.start_container(containers.image)
    done = command("logs", containers.image)
    assert done.exit_code == 1
    assert sleeping in done.stderr
    assert str(other.container_name) in done.stderr
    other.stop_container()


@pytest.mark.parametrize("name", ["logs", "stop"])
def test_a_container_that_is_not_there_is_said_not_to_be(sleeping: str, name: str) -> None:
    done = command(name, "no-such-container")
    assert (done.exit_code, done.stdout) == (1, "")
    assert sleeping in done.stderr  # what there is


def test_stop_takes_several_or_none(containers: Containers, sleeping: str) -> None:
    other = LocalDockerProvider(command=SLEEP)
    other.start_container(containers.image)
    assert command("stop", sleeping, "no-such-container").exit_code == 1
    assert len(containers.left()) == 2
    assert command("stop", sleeping, str(other.container_name)).exit_code == 0
    assert containers.left() == []
    other.stop_container()


# ---- prune


@pytest.fixture
def dead() -> Owner:
    """A process that was one once."""
    tell = "from openenv.providers.ownership import Owner; print(Owner.this_process())"
    done = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True)
    owner = Owner.parse(done.stdout.strip())
    wait_until_gone(owner.pid)
    return owner


def orphan(containers: Containers, owner: object) -> str:
    """Make a container that is labelled as another process's."""
    labels = {OWNER_LABEL: str(owner), IMAGE_LABEL: containers.image}
    made: Any = containers.client.containers.create(containers.image, SLEEP, labels=labels)
    return str(made.name)


def test_prune_removes_what_has_no_owner_any_more(
    containers: Containers, sleeping: str, dead: Owner
) -> None:
    name = orphan(containers, dead)
    would = command("prune", "--dry-run", "--json")
    assert json.loads(would.stdout).count(name) == 1
    assert set(containers.left()) == {name, sleeping}
    done = command("prune")
    assert done.stdout.splitlines().count(name) == 1
    assert "removed" in done.stderr
    assert containers.left() == [sleeping]


def test_prune_leaves_what_may_be_wanted(containers: Containers, sleeping: str) -> None:
    elsewhere = Owner("elsewhere/1", "another boot", 1, "1")
    kept = {
        orphan(containers, elsewhere),
        orphan(containers, "detached"),
        orphan(containers, "of some later version"),
    }
    assert command("prune").exit_code == 0
    assert set(containers.left()) == kept | {sleeping}
    would = set(json.loads(command("prune", "--all", "--dry-run", "--json").stdout))
    assert len(would & kept) == 2  # who owns the third cannot be said
    assert sleeping not in would
    for name in kept:
        containers.get(name).remove()
