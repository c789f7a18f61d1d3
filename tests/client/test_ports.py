"""What the client's parts need of each other is what they have, member by member."""

import inspect
from typing import Any

import pytest

from openenv.client.env import EnvClient
from openenv.client.http.connection import HttpConnection
from openenv.client.link.link import ClientLink
from openenv.client.pool import Pool
from openenv.client.ports import AsyncClient, RequestLink, SessionListener, SessionPool
from openenv.client.session import RemoteSession

URL = "http://127.0.0.1:9"


def members(protocol: Any) -> list[str]:
    names = [*vars(protocol), *getattr(protocol, "__annotations__", {})]
    dunders = ("__aenter__", "__aexit__")
    return [name for name in names if not name.startswith("_") or name in dunders]


@pytest.mark.parametrize(
    ("protocol", "instance"),
    [
        (RequestLink, ClientLink.to(URL)),
        (RequestLink, HttpConnection(URL)),
        (AsyncClient, EnvClient(URL)),
        (SessionListener, RemoteSession(ClientLink.to(URL))),
        (SessionPool, Pool(URL)),
    ],
)
def test_an_implementation_has_every_member_and_takes_its_arguments(
    protocol: Any, instance: Any
) -> None:
    assert members(protocol)
    for name in members(protocol):
        implemented, declared = getattr(instance, name), getattr(protocol, name, None)
        if inspect.isfunction(declared):
            names = [given for given in inspect.signature(declared).parameters if given != "self"]
            taken = list(inspect.signature(implemented).parameters)
            assert taken[: len(names)] == names
