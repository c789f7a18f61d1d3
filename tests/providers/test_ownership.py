"""Whose something is, written down so that another process can tell whether it still lives."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from openenv.errors import ConfigurationError
from openenv.providers import ownership
from openenv.providers.ownership import Owner


def test_a_process_that_runs_is_alive_however_it_is_written() -> None:
    owner = Owner.this_process()
    assert owner.pid == os.getpid()
    assert Owner.parse(str(owner)) == owner
    assert owner.is_alive() is True


def test_a_process_that_has_ended_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        monkeypatch.setattr(os, "getpid", lambda: process.pid)
        owner = Owner.this_process()
        assert owner.is_alive() is True
        process.kill()
        # A zombie, until its parent looks after it.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_alive() is False
    assert owner.is_alive() is False


@pytest.mark.parametrize("change", [{"started": "1"}, {"boot": "another"}])
def test_a_number_that_another_process_has_now_is_no_life(change: dict[str, str]) -> None:
    assert replace(Owner.this_process(), **change).is_alive() is False  # type: ignore[arg-type]


def test_of_other_machines_nothing_is_known() -> None:
    assert replace(Owner.this_process(), host="elsewhere/1").is_alive() is None


@pytest.mark.parametrize("text", ["", "detached", "a|b|c", "a|b|c|d", "a|b|1|2|3"])
def test_what_names_no_owner_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Owner.parse(text)


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a Mac, where only `ps` tells of processes."""
    monkeypatch.setattr(ownership, "PROC", tmp_path)


@pytest.mark.usefixtures("without_proc")
def test_without_proc_ps_is_asked() -> None:
    owner = Owner.this_process()
    assert owner.started
    assert owner.boot
    assert owner.is_alive() is True
    with subprocess.Popen(["true"]) as process:
        pass
    assert replace(owner, pid=process.pid).is_alive() is False
    assert replace(owner, started="yesterday").is_alive() is False


@pytest.mark.usefixtures("without_proc")
def test_without_either_who_exists_may_be_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner.this_process()
    monkeypatch.setenv("PATH", "")
    assert replace(owner, boot="").is_alive() is True


def test_a_process_of_somebody_else_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    owner = Owner.this_process()
    # Where /proc hides it, it shows no start.
    monkeypatch.setattr(Path, "read_text", _hidden(Path.read_text, str(owner.pid)))
    assert owner.is_alive() is True


def _hidden(read_text, pid):  # type: ignore[no-untyped-def]
    def read(path, *arguments):  # type: ignore[no-untyped-def]
        if f"/{pid}/" in str(path):
            raise FileNotFoundError
        return read_text(path, *arguments)

    return read
