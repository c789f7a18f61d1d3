"""The kinds of isolation below the best one, each without the layers that it stands in for."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from openenv.sandbox import Limits, Sandbox, folder, isolation
from tests.patience import patient
from tests.sandbox.attempts import LIMITS, attempt, secret_file, wrong_with
from tests.sandbox.probes import PROBES

KINDS = {kind.name: kind for kind in isolation.KINDS}
# What tries paths: a path that is not there, or is everybody's, is refused in another way or not.
OF_PATHS = {
    "the server's files",
    "files of the machine",
    "listing folders",
    "its own process",
    "other processes' memory and environment",
    "links",
    "descriptors of paths",
    "modes, owners and times",
    "writing elsewhere",
}


@contextmanager
def only(monkeypatch: pytest.MonkeyPatch, name: str, *without: str) -> Iterator[None]:
    """Have one kind alone, without some layers."""
    with monkeypatch.context() as patch:
        patch.setattr(isolation, "KINDS", (replace(KINDS[name], without=frozenset(without)),))
        yield


@pytest.fixture
def secret() -> Iterator[str]:
    path = secret_file()
    yield path
    shutil.rmtree(os.path.dirname(path))


def test_bubblewrap_shows_nothing_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("opt-in: needs bubblewrap")
    with (
        only(monkeypatch, "bubblewrap", "landlock", "tmpfs"),
        Sandbox(packages=("numpy",), limits=LIMITS) as sandbox,
    ):
        assert sandbox.isolation == "bubblewrap"
        assert "landlock" not in sandbox.layers
        sandbox.write_file("own", b"1")
        code = f"import os\nprint(os.listdir({os.path.dirname(secret)!r}))"
        assert sandbox.run(code).error == "FileNotFoundError"
        seen = sandbox.run("sorted(name for name in os.listdir('/proc') if name.isdigit())")
        assert len((seen.value or "").split(",")) <= 4
        assert sandbox.run("open('/var/run/docker.sock')").error == "FileNotFoundError"
        full = sandbox.run("for n in range(99): open(str(n), 'wb').write(b'x' * 1_000_000)")
        assert "No space left on device" in full.stderr
        unseen = [probe for probe in PROBES if probe.name not in OF_PATHS]
        wrong = {one.name: wrong_with(one, attempt(one, sandbox, secret)) for one in unseen}
        assert {name: lines for name, lines in wrong.items() if lines} == {}


def test_in_a_container_without_a_network_another_user_and_seccomp_are_enough(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("opt-in: needs root, who alone can be somebody else")
    Path(secret).chmod(0o600)
    monkeypatch.setattr(isolation, "CONTAINER_MARKS", ("/",))
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo")])
    with (
        only(monkeypatch, "container", "landlock"),
        Sandbox(packages=(), limits=LIMITS) as sandbox,
    ):
        assert sandbox.isolation == "container"
        refused = [probe for probe in PROBES if probe.name not in OF_PATHS]
        wrong = {one.name: wrong_with(one, attempt(one, sandbox, secret)) for one in refused}
        assert {name: lines for name, lines in wrong.items() if lines} == {}
        assert sandbox.run(f"open({secret!r})").error == "PermissionError"
        environ = sandbox.run(f"open('/proc/{os.getpid()}/environ')")
        assert environ.error == "PermissionError"


def test_as_the_same_user_there_is_no_such_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "CONTAINER_MARKS", ("/",))
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo")])
    with (
        only(monkeypatch, "container", "landlock", "uid"),
        pytest.raises(isolation.SandboxUnavailable, match="no uid here"),
    ):
        Sandbox(packages=())


@pytest.mark.parametrize(
    "code",
    [
        "for n in range(100):\n    open(str(n), 'wb').write(b'x' * (1 << 20))\ntime.sleep(60)",
        "for n in range(1000):\n    open(str(n), 'wb').close()\ntime.sleep(60)",
        "kept = []\nfor n in range(30):\n    kept.append(open('x', 'wb', 0))\n"
        "    kept[-1].write(b'x' * (1 << 20))\n    os.remove('x')\ntime.sleep(60)",
    ],
    ids=["bytes", "files", "files without names"],
)
def test_a_folder_without_a_size_is_watched(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    with (
        only(monkeypatch, "landlock", "tmpfs", "uid"),
        Sandbox(packages=(), limits=LIMITS) as sandbox,
    ):
        assert "watcher" in sandbox.layers
        sandbox.run("x = 1")
        outcome = sandbox.run(f"import os, time\n{code}", timeout_s=patient(20))
        assert (outcome.exit_code, outcome.variables_lost) == (137, True)
        assert "The folder is full: it may hold 8,388,608 bytes" in outcome.stderr
        assert outcome.duration_s < 20
        assert sandbox.run("import os\nos.listdir('.')").value == "[]"


def test_nothing_is_left_of_a_folder_whatever_its_modes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with only(monkeypatch, "landlock", "tmpfs"), Sandbox(packages=()) as sandbox:
        sandbox.run("import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').close()\nos.mkdir('d', 0)")
        cell = sandbox._cell
        assert cell is not None
        assert sorted(os.listdir(cell.folder)) == ["a", "d"]
        sandbox.close()
        assert not os.path.exists(cell.folder)
    folder.remove(str(tmp_path / "never there"))


def test_limits_of_disk_are_those_of_each_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    fill = "open('x', 'wb').write(b'x' * 3_000_000)"
    small, large = Limits(disk_bytes=1 << 20), Limits(disk_bytes=4 << 20)
    with Sandbox(packages=(), limits=small) as one, Sandbox(packages=(), limits=large) as other:
        assert one.run(fill).error == "OSError"
        assert other.run(fill).value == "3000000"
