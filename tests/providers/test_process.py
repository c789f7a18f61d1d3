"""Servers in processes of this machine: they tell their URL, and end with whoever started them."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from openenv.client.generic import GenericEnvClient
from openenv.client.launch import launch
from openenv.errors import (
    ConfigurationError,
    LocalProtocolError,
    ProviderError,
    StartupFailed,
    StartupTimeout,
)
from openenv.providers import lifeline
from openenv.providers.health import health_status
from openenv.providers.process import ProcessProvider
from tests.patience import patient, within
from tests.processes import ENVIRON
from tests.providers.environments import logs_of, wait_until_gone, write_environment

WAITS = """
Path("{folder}/pid").write_text(str(os.getpid()))
open("{folder}/began", "w").close()
open("{folder}/never").read()
"""


@pytest.fixture(autouse=True)
def _logs_are_the_tests_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def waiting_environment(folder: Path) -> Path:
    """Write an environment whose import says that it began, and goes no further."""
    for pipe in ("began", "never"):
        os.mkfifo(folder / pipe)
    return write_environment(folder / "slow_env", WAITS.format(folder=folder))


async def test_a_folder_is_served_until_its_client_closes(tmp_path: Path) -> None:
    folder = write_environment(tmp_path / "told_env")
    provider = ProcessProvider()
    options = {"env_vars": {"TOLD": 7}}
    env = await launch(GenericEnvClient, provider, (folder,), of_provider=options)
    async with env:
        told = (await env.reset()).observation
        assert told["told"] == "7"
        assert (await env.step({"a": 1})).observation == {"echo": {"a": 1}}
        assert provider.base_url == env.base_url
        assert "serving" in provider.log_path.read_text()
    wait_until_gone(told["pid"])
    assert provider.base_url is None
    assert logs_of("told_env", tmp_path) == []


def test_blocking_code_starts_and_stops_it_with_three_calls(tmp_path: Path) -> None:
    provider = ProcessProvider(write_environment(tmp_path / "told_env"), max_sessions=3)
    url = provider.start()
    provider.wait_for_ready(5)
    with GenericEnvClient(url).sync() as env:
        pid = env.reset().observation["pid"]
    with pytest.raises(LocalProtocolError):
        provider.start()
    provider.stop()
    provider.stop()
    wait_until_gone(pid)
    with pytest.raises(ProviderError):
        provider.wait_for_ready(1)


def test_a_client_with_a_thousand_open_files_can_start_one_too(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1024)]
    try:
        with ProcessProvider(write_environment(tmp_path / "told_env")) as provider:
            assert health_status(provider.base_url) == 200
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_given_log_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "my.log"
    with ProcessProvider(write_environment(tmp_path / "told_env"), log=log) as provider:
        assert health_status(provider.base_url) == 200
    assert "serving" in log.read_text()


def test_modules_are_looked_for_where_the_client_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_environment(tmp_path / "told_env")
    monkeypatch.chdir(tmp_path)
    with ProcessProvider("told_env.server.app:app") as provider:
        assert health_status(provider.base_url) == 200


def test_an_environment_that_cannot_be_imported_is_shown_by_the_end_of_its_log(
    tmp_path: Path,
) -> None:
    folder = write_environment(tmp_path / "bad_env", "print('so far so good')\n1 / 0")
    provider = ProcessProvider(folder)
    with pytest.raises(StartupFailed) as caught:
        provider.start()
    assert caught.value.exit_code == 1
    assert "so far so good" in caught.value.last_lines
    assert "ZeroDivisionError" in str(caught.value)
    assert str(provider.log_path) in str(caught.value)
    assert logs_of("bad_env", tmp_path) == [provider.log_path]


def test_a_server_that_is_killed_while_it_starts_is_said_to_be(tmp_path: Path) -> None:
    folder = write_environment(tmp_path / "bad_env", "import signal\nos.kill(os.getpid(), 9)")
    with pytest.raises(StartupFailed, match="SIGKILL") as caught:
        ProcessProvider(folder).start()
    assert caught.value.exit_code == 128 + signal.SIGKILL


def test_a_server_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    folder = waiting_environment(tmp_path)
    # Both ends, so that the environment does not wait for anybody to open the other.
    began = os.open(tmp_path / "began", os.O_RDWR)
    with pytest.raises(StartupTimeout) as caught:
        ProcessProvider(folder).start(timeout_s=3)
    os.close(began)
    assert caught.value.last_lines == ""
    assert list(tmp_path.glob("*.log")) == []
    wait_until_gone(int((tmp_path / "pid").read_text()))


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    folder = waiting_environment(tmp_path)
    provider = ProcessProvider()
    starting = asyncio.create_task(provider.open(folder, timeout_s=patient(50)))
    async with within(30):
        await asyncio.to_thread((tmp_path / "began").read_text)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    wait_until_gone(int((tmp_path / "pid").read_text()))
    assert provider.base_url is None


LAUNCHER = """
import os, sys
from openenv.providers.process import ProcessProvider
provider = ProcessProvider(sys.argv[1])
print(provider.start(), flush=True)
{then}
"""


@pytest.mark.parametrize(
    "then",
    [
        "os.kill(os.getpid(), 9)",
        "os.kill(os.getpid(), 15)",
        "pass",
        "del provider; sys.stdin.read()",
        # A forked worker that goes on holds none of the pipes.
        "os.fork() or sys.stdin.read(); os._exit(0)",
    ],
    ids=["killed", "terminated", "left without closing", "forgotten", "forked"],
)
def test_a_server_ends_with_its_client(tmp_path: Path, then: str) -> None:
    folder = write_environment(
        tmp_path / "told_env", f"Path('{tmp_path}/pid').write_text(str(os.getpid()))"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER.format(then=then), str(folder)],
        env=ENVIRON | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert client.stdout is not None
        assert client.stdout.readline().startswith("http://127.0.0.1:")
        wait_until_gone(int((tmp_path / "pid").read_text()))
    finally:
        client.communicate(timeout=patient(20))


def test_the_child_of_a_fork_does_not_end_its_parents_server(tmp_path: Path) -> None:
    with ProcessProvider(write_environment(tmp_path / "told_env")) as provider:
        program = "import os, sys; sys.exit(0)"
        pid = os.fork()
        if pid == 0:
            os.execv(sys.executable, [sys.executable, "-c", program])
        assert os.waitpid(pid, 0)[1] == 0
        assert health_status(provider.base_url) == 200


SPAWNS = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
Path("{folder}/pid").write_text(str(child.pid))
"""


def test_what_a_server_has_started_ends_with_it(tmp_path: Path) -> None:
    folder = write_environment(tmp_path / "told_env", SPAWNS.format(folder=tmp_path))
    with ProcessProvider(folder) as provider:
        with GenericEnvClient(provider.base_url).sync() as env:
            server = env.reset().observation["pid"]
        os.kill(server, signal.SIGKILL)
        wait_until_gone(int((tmp_path / "pid").read_text()))


DEAF = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
signal.pause()
"""


@pytest.mark.parametrize("how", ["the pipe ends", "a signal"])
def test_what_does_not_stop_is_killed_and_its_folder_removed(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    command = [sys.executable, "-I", lifeline.__file__, "0.1", str(folder), ""]
    line = subprocess.Popen(
        [*command, sys.executable, "-c", DEAF],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert line.stdin is not None
    assert line.stdout is not None
    pid = int(line.stdout.readline())
    if how == "a signal":
        line.terminate()
    else:
        line.stdin.close()
    assert line.wait(patient(20)) == 128 + signal.SIGKILL
    wait_until_gone(pid)
    assert not folder.exists()
    line.stdout.close()
    line.stdin.close()


@pytest.mark.parametrize(
    ("target", "options", "named"),
    [
        ("no/such/folder", {}, "no/such/folder"),
        ("told_env", {"memory": 3}, "memory"),
        (None, {}, "folder"),
    ],
)
def test_what_cannot_be_started_is_said_before(
    tmp_path: Path, target: str | None, options: dict[str, int], named: str
) -> None:
    write_environment(tmp_path / "told_env")
    with pytest.raises(ConfigurationError, match=named):
        ProcessProvider(target and str(tmp_path / target)).start(**options)
    assert list(tmp_path.glob("*.log")) == []
