"""The coding environment by its name, as the documents that openenv began with use it."""

import sys

import pytest

from envs.coding_env import CodeAction, CodeObservation
from tests.processes import ROOT
from tests.seeds.conftest import sample


def test_003_auto_env_plays_the_coding_environment_of_this_checkout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    # A server is started as a process, not as a container.
    monkeypatch.setitem(sys.modules, "docker", None)
    names: dict[str, object] = {}
    exec(compile(sample("003_auto.txt"), "003_auto.txt", "exec"), names)
    printed = capsys.readouterr().out
    assert "coding_env" in printed
    assert printed.endswith("Output: Hello, World!\n\n")
    assert names["CodeAction"] is CodeAction


def test_003_the_fields_of_the_guide_are_those_of_the_environment() -> None:
    namespace: dict[str, type] = {}
    models, _, _ = sample("003_coding.txt").partition("class CodingEnvironment")
    exec(f"from dataclasses import dataclass\n{models}", namespace)
    action = namespace["CodeAction"](code="1")
    assert vars(action).items() <= vars(CodeAction(code="1")).items()
    observation = namespace["CodeObservation"](stdout="", stderr="", exit_code=0, done=False)
    assert vars(observation).items() <= vars(CodeObservation()).items()
