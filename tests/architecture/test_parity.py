"""The sync client is the async one without `await`: the same methods, taking the same arguments."""

import inspect
from typing import Any

import pytest

from openenv.client.blocking.sync import SyncEnvClient
from openenv.client.env import EnvClient

# Each leads to the other surface.
ASYNC_ONLY = {"sync"}
SYNC_ONLY = {"async_client"}


def public(cls: type) -> dict[str, Any]:
    return {name: one for name, one in inspect.getmembers(cls) if not name.startswith("_")}


def parameters(function: Any) -> list[tuple[str, Any, Any, str]]:
    return [
        (one.name, one.kind, one.default, str(one.annotation))
        for one in inspect.signature(function).parameters.values()
    ]


SHARED = sorted(set(public(EnvClient)) - ASYNC_ONLY)


def test_both_clients_have_the_same_public_names() -> None:
    assert set(public(SyncEnvClient)) - SYNC_ONLY == set(SHARED)


@pytest.mark.parametrize("name", [name for name in SHARED if callable(getattr(EnvClient, name))])
def test_a_method_takes_the_same_arguments_in_both(name: str) -> None:
    assert parameters(getattr(SyncEnvClient, name)) == parameters(getattr(EnvClient, name))


@pytest.mark.parametrize("name", SHARED)
def test_nothing_of_the_sync_client_has_to_be_awaited(name: str) -> None:
    method = getattr(SyncEnvClient, name)
    assert not inspect.iscoroutinefunction(method)
    assert not inspect.isasyncgenfunction(method)


def test_each_is_the_context_manager_of_its_kind() -> None:
    assert hasattr(EnvClient, "__aenter__")
    assert hasattr(SyncEnvClient, "__enter__")
    assert not hasattr(SyncEnvClient, "__aenter__")
