"""The coding environment in its image: served as nobody in particular, confined all the same."""

import uuid
from typing import Any

import pytest

from envs.coding_env import CodeAction, CodingEnv
from openenv.cli.docker_build import build_image, find_builder
from openenv.cli.images import plan_image
from tests.processes import ROOT


@pytest.mark.timeout(240)
def test_its_image_builds_serves_and_confines(containers: Any) -> None:
    name = f"openenv-tests-coding-{uuid.uuid4().hex[:8]}:latest"
    build_image(plan_image(ROOT / "envs/coding_env", tags=[name]), find_builder())
    try:
        with CodingEnv.from_docker_image(name) as env:
            first = env.reset(tests=["f() == 1"])
            assert first.observation.metadata["isolation"] == "landlock"
            assert {"seccomp", "watcher"} <= set(first.observation.metadata["layers"])
            code = (
                "import os, numpy\nf = lambda: int(numpy.ones(1)[0])\nprint(os.getuid())\nos.fork()"
            )
            refused = env.step(CodeAction(code=code)).observation
            assert (refused.stdout, refused.error) == ("1000\n", "PermissionError")
            result = env.step(CodeAction(code="f = lambda: 1"))
            assert (result.reward, result.done) == (1.0, True)
    finally:
        containers.client.images.remove(name, force=True)
