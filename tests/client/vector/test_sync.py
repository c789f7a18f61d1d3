"""The blocking form of a vector is the vector without `await`: the same calls and arguments."""

import inspect
from typing import Any

import pytest

from openenv.client.pool import connect
from openenv.client.vector.client import VectorClient
from openenv.client.vector.sync import AsyncVector, SyncVectorClient

URL = "http://127.0.0.1:9"
CALLS = ["connect", "close", "reset", "step", "async_reset", "send", "recv"]


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    given = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in given]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_takes_the_same_arguments_in_both(name: str) -> None:
    blocking, awaited = getattr(SyncVectorClient, name), getattr(VectorClient, name)
    assert parameters(blocking) == parameters(awaited)
    assert parameters(getattr(AsyncVector, name)) == parameters(awaited)
    assert not inspect.iscoroutinefunction(blocking)


def test_both_have_the_same_public_names() -> None:
    names = {name for name in vars(VectorClient) if not name.startswith("_")} - {"sync"}
    blocking = {name for name in vars(SyncVectorClient) if not name.startswith("_")}
    assert blocking - {"async_client", "num_envs", "autoreset_mode"} == names


def test_it_says_what_the_vector_underneath_is() -> None:
    vector = connect(URL).vector(3, autoreset_mode="Disabled")
    blocking = vector.sync()
    assert blocking.async_client is vector
    assert (blocking.num_envs, blocking.in_flight) == (3, [])
    assert blocking.metadata == {"autoreset_mode": blocking.autoreset_mode}
