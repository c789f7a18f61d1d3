"""Servers that run as Spaces: found, woken, and left alone. The hub and its front are a stub."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from openenv.app import create_app
from openenv.client.generic import GenericEnvClient
from openenv.client.launch import launch
from openenv.errors import ConfigurationError, ProviderError, StartupFailed, StartupTimeout
from openenv.providers.space import SpaceProvider
from tests.environments import Counter
from tests.hub.stub import TOKEN, HubStub, Space, SpaceFront, serving_hub
from tests.patience import within
from tests.serving import serving_elsewhere

NAME = "other/counter"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStub]:
    with serving_hub(monkeypatch, tmp_path / "cache") as stub:
        yield stub


@contextmanager
def running(hub: HubStub, stage: str = "RUNNING", *, private: bool = False) -> Iterator[SpaceFront]:
    """Have a Space with a server behind it."""
    hub.spaces[NAME] = space = Space(NAME, stage=stage, private=private)
    front = SpaceFront(space, create_app(Counter))
    with serving_elsewhere(front) as space.host:
        yield front


async def test_a_space_that_runs_is_played(hub: HubStub) -> None:
    with running(hub) as front:
        async with await launch(GenericEnvClient, SpaceProvider(), (NAME,)) as env:
            assert env.base_url == hub.spaces[NAME].host
            await env.reset()
        # What runs there is somebody else's: it sees no token.
        assert set(front.authorizations) == {None}
        assert hub.spaces[NAME].stage == "RUNNING"


async def test_a_private_one_is_given_the_token(hub: HubStub) -> None:
    with running(hub, private=True) as front:
        async with await launch(GenericEnvClient, SpaceProvider(NAME)) as env:
            await env.reset()
        assert set(front.authorizations) == {f"Bearer {TOKEN}"}


def test_one_that_sleeps_is_woken(hub: HubStub) -> None:
    with running(hub, "SLEEPING") as front:
        endpoint = SpaceProvider().start(NAME, timeout_s=9)
        assert endpoint.url == hub.spaces[NAME].host
        assert len(front.authorizations) >= 3


@pytest.mark.parametrize("stage", ["PAUSED", "BUILD_ERROR", "RUNTIME_ERROR", "NO_APP_FILE"])
def test_one_that_cannot_run_is_said_to(hub: HubStub, stage: str) -> None:
    with running(hub, stage), pytest.raises(StartupFailed, match=NAME):
        SpaceProvider(NAME).start()


def test_one_that_does_not_get_ready_is_given_up(hub: HubStub) -> None:
    hub.spaces[NAME] = Space(NAME, stage="BUILDING")
    with pytest.raises(StartupTimeout, match="BUILDING"):
        SpaceProvider(NAME).start(timeout_s=0.1)


async def test_waiting_can_be_cancelled(hub: HubStub) -> None:
    hub.spaces[NAME] = Space(NAME, stage="BUILDING")
    waiting = asyncio.create_task(SpaceProvider().open(NAME))
    async with within(20):
        while not any(line.endswith("/runtime") for line in hub.asked):
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@pytest.mark.parametrize("name", ["other/nothing", "counter", "", "a b/c"])
def test_a_space_that_does_not_exist_is_said(hub: HubStub, name: str) -> None:
    with pytest.raises(ConfigurationError, match=repr(name) if "/n" not in name else name):
        SpaceProvider(name).start()


async def test_a_space_takes_no_options(hub: HubStub) -> None:
    with pytest.raises(ConfigurationError, match="memory"):
        await SpaceProvider().open(NAME, memory="2g")


def test_a_hub_that_is_down_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ProviderError, match="cannot be reached"):
        SpaceProvider(NAME).start()
