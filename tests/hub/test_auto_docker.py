"""AutoEnv with Docker: a container that runs for everyone, else one of the environment's image."""

import logging
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from openenv import AutoAction, AutoEnv
from openenv.hub.discovery import find
from openenv.hub.starting import plan_start
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.docker_cleanup import SHARED_LABEL
from openenv.providers.docker_cleanup import find as find_container
from openenv.providers.health import health_status
from openenv.providers.process import ProcessProvider
from tests.containers import Containers
from tests.processes import ROOT, openenv


@pytest.fixture
def name(containers: Containers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An environment of a name that nobody else has, and its image."""
    stem = f"c{uuid.uuid4().hex[:8]}"
    folder = tmp_path / "envs" / f"{stem}_env"
    shutil.copytree(ROOT / "envs/echo_env", folder, ignore=shutil.ignore_patterns("*.egg-info"))
    manifest = folder / "openenv.yaml"
    manifest.write_text(manifest.read_text().replace("echo_env", f"{stem}_env"))
    monkeypatch.chdir(tmp_path)
    containers.client.images.get(containers.image).tag(f"{stem}-env", "latest")
    yield stem
    containers.client.images.remove(f"{stem}-env:latest")


def test_an_image_of_the_environments_is_run(
    containers: Containers, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "openenv.hub")
    with AutoEnv.from_env(f"{name}-env", memory="256m") as env:
        assert env.reset().observation.echoed_message
        [container] = containers.left()
        limits = containers.get(container).attrs["HostConfig"]
        assert limits["Memory"] == 256 * 2**20
    assert containers.left() == []
    assert f"{name}_env: a container of {name}-env:latest" in caplog.messages


async def test_awaited_too(containers: Containers, name: str) -> None:
    async with AutoEnv.from_env(name) as env:
        await env.reset()
        assert len(containers.left()) == 1


def test_what_was_started_for_one_client_is_not_anothers(containers: Containers, name: str) -> None:
    with AutoEnv.from_env(name) as first, AutoEnv.from_env(name) as second:
        assert first.base_url != second.base_url
        assert len(containers.left()) == 2


@pytest.mark.parametrize("ending", ["-env", "-env:latest"])
def test_what_runs_for_everyone_is_used_and_left_running(
    containers: Containers, name: str, ending: str
) -> None:
    run = openenv("run", f"{name}{ending}", "--detach", "--json")
    assert run.returncode == 0, run.stderr
    try:
        running = next(
            one
            for one in containers.client.containers.list(filters={"label": SHARED_LABEL})
            if one.labels["openenv.image"] == f"{name}{ending}"
        )
        url = find_container(containers.client, running.name).url
        with AutoEnv.from_env(name) as env:
            assert env.base_url == url
            env.reset()
        assert health_status(str(url)) == 200
        # Who wants another kind of it gets one.
        assert plan_start(find(name), may_share=False).url is None
    finally:
        assert openenv("stop", running.name).returncode == 0


def test_a_folder_means_the_code_in_it(name: str) -> None:
    assert isinstance(plan_start(find(name)).provider, LocalDockerProvider)
    assert isinstance(plan_start(find(f"./envs/{name}_env")).provider, ProcessProvider)
    assert isinstance(plan_start(find(name), "process").provider, ProcessProvider)


def test_an_image_can_be_named(containers: Containers, name: str) -> None:
    with AutoEnv.from_env("echo", docker_image=containers.image) as env:
        env.reset()
        [container] = containers.left()
        assert containers.get(container).labels["openenv.image"] == containers.image


def test_002_echo_env_by_its_name_is_a_container_of_echo_env(
    containers: Containers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = containers.client.images
    # It may be here already, as whoever works on this machine has built it.
    mine = not image.list("echo-env:latest")
    if mine:
        image.get(containers.image).tag("echo-env", "latest")
    try:
        env = AutoEnv.from_env("echo-env", provider="docker")
        assert len(containers.left()) == 1
        result = env.reset()
        result = env.step(AutoAction.from_env("echo-env")(message="Hello, World!"))
        assert (result.observation.echoed_message, result.reward) == ("Hello, World!", 1.3)
        env.close()
    finally:
        if mine:
            image.remove("echo-env:latest")
