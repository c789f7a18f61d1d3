"""003: the implementation guide, environments by their names."""

import sys
from pathlib import Path

import pytest

from openenv.hub import discovery
from tests.seeds.conftest import Load, sample
from tests.seeds.test_guide_environments import IMPORTS, RUN_PYTHON

MANIFEST = """
name: coding_env
models:
  action: models.CodeAction
  observation: models.CodeObservation
"""
CLIENT = """
from openenv import EnvClient
from .models import CodeAction, CodeObservation

class CodingEnv(EnvClient[CodeAction, CodeObservation]):
    pass
"""
APP = """
from openenv import create_app
from ..models import CodeAction, CodeObservation
from .environment import CodingEnvironment

app = create_app(CodingEnvironment, CodeAction, CodeObservation)
"""
RESET = "    def reset(self):\n        return CodeObservation('', '', 0, False)\n"


@pytest.fixture
def _coding_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay out the guide's coding environment where it is looked for, and do without Docker."""
    monkeypatch.chdir(tmp_path)
    # This checkout may have one of that name.
    monkeypatch.setattr(discovery, "__file__", str(tmp_path / "elsewhere/openenv/hub/discovery.py"))
    monkeypatch.setitem(sys.modules, "docker", None)
    folder = tmp_path / "envs/coding_env"
    models, found, environment = sample("003_coding.txt").partition("class CodingEnvironment")
    for path, text in {
        "openenv.yaml": MANIFEST,
        "__init__.py": "",
        "models.py": f"from dataclasses import dataclass\n{models}",
        "client.py": CLIENT,
        "server/__init__.py": "",
        "server/environment.py": f"{IMPORTS}{RUN_PYTHON}from ..models import *\n"
        f"{found}{environment}{RESET}",
        "server/app.py": APP,
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


@pytest.mark.usefixtures("_coding_env")
def test_003_auto_env_lists_creates_and_plays(
    load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    auto = load("auto", sample("003_auto.txt"))
    printed = capsys.readouterr().out
    listed, _, played = printed.partition("Reset: ")
    assert "coding_env" in {line.split()[0] for line in listed.splitlines()}
    assert played.endswith("Output: Hello, World!\n\n")
    assert auto.CodeAction(code="1").timeout == 30.0
    assert type(auto.result.observation).__name__ == "CodeObservation"


@pytest.mark.usefixtures("_coding_env")
def test_003_auto_env_makes_one_for_gymnasium(load: Load) -> None:
    # What it turns observations and actions into is left out, and stable_baselines3 is not needed.
    source = sample("003_stable_baselines.txt")
    before = "from stable_baselines3 import PPO\n"
    after = """
    def _obs_to_array(self, observation):
        return observation.stdout

    def _array_to_action(self, action):
        return AutoAction.from_env("coding-env")(code=action)
"""
    assert before in source
    wrapped = load(
        "wrapped", f"{source.replace(before, '')}{after}\nfrom openenv import AutoAction\n"
    )
    env = wrapped.OpenEnvGymWrapper("coding-env")
    try:
        assert env.reset() == ("", {})
        assert env.step("print(1)")[0] == "1\n"
    finally:
        env.env.close()
