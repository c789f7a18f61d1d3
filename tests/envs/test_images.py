"""Environments with libraries of their own build as images, and are played in containers."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from envs.atari_env import AtariAction, AtariEnv
from envs.openspiel_env import OpenSpielAction, OpenSpielEnv
from openenv.cli.docker_build import build_image, find_builder
from openenv.cli.images import plan_image
from tests.processes import ROOT


def move(observation: Any) -> OpenSpielAction:
    return OpenSpielAction(action_id=observation.legal_actions[0])


def fire(observation: Any) -> AtariAction:
    return AtariAction(action_id=observation.action_names.index("FIRE"))


@pytest.mark.parametrize(
    ("folder", "client", "act"),
    [("openspiel_env", OpenSpielEnv, move), ("atari_env", AtariEnv, fire)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_image_serves_a_whole_episode(
    folder: str, client: Any, act: Callable[[Any], Any], containers: Any
) -> None:
    name = f"openenv-tests-{uuid.uuid4().hex[:8]}:latest"
    build_image(plan_image(ROOT / "envs" / folder, tags=[name]), find_builder())
    try:
        env = client.from_docker_image(name)
        try:
            result = env.reset(seed=1)
            while not (result.done or result.truncated):
                result = env.step(act(result.observation))
        finally:
            env.close()
        assert result.done
        assert containers.left() == []
    finally:
        containers.client.images.remove(name, force=True)
