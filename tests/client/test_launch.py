"""Clients of what a provider starts: whose option is whose, and nothing is left of a failure."""

import asyncio
from typing import Any

import pytest

from envs.echo_env import EchoEnv
from openenv.client.env import EnvClient
from openenv.client.generic import GenericEnvClient
from openenv.client.http.client import HTTPEnvClient
from openenv.client.launch import launch, sort_options
from openenv.errors import ConnectError
from openenv.providers.base import Endpoint, Provider


class EndpointProvider(Provider):
    """A provider of something that runs already, and wants to know who asks."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.closed = 0
        self.opened: list[tuple[Any, ...]] = []

    async def open(self, *what: Any, timeout_s: float = 30.0, **options: Any) -> Endpoint:
        self.opened.append((what, options))
        return self.endpoint

    async def aclose(self) -> None:
        self.closed += 1


async def test_what_cannot_be_connected_to_is_stopped() -> None:
    provider = EndpointProvider(Endpoint("http://127.0.0.1:1"))
    with pytest.raises(ConnectError):
        await GenericEnvClient.from_docker_image("echo", provider)
    assert provider.closed == 1


async def test_a_client_that_cannot_be_made_stops_what_was_started() -> None:
    provider = EndpointProvider(Endpoint("http://127.0.0.1:1"))
    with pytest.raises(ValueError, match="mode"):
        await GenericEnvClient.from_docker_image("echo", provider, mode="karaoke")
    assert provider.closed == 1


async def test_existing_clients_start_a_container_by_the_port_inside() -> None:
    provider = EndpointProvider(Endpoint("http://127.0.0.1:1"))
    with pytest.raises(ConnectError):
        await GenericEnvClient._from_docker("echo", 9000, provider=provider, memory="1g")
    assert provider.opened == [(("echo",), {"container_port": 9000, "memory": "1g"})]


async def test_how_a_server_ended_is_asked_of_its_provider(monkeypatch: Any) -> None:
    provider = EndpointProvider(Endpoint("http://127.0.0.1:1"))
    made: list[Any] = []
    monkeypatch.setattr("openenv.client.env.ClientLink.to", lambda _, **given: made.append(given))
    with pytest.raises(AttributeError):
        await GenericEnvClient("http://127.0.0.1:1", provider=provider).connect()
    assert made[0]["exit_reason"] == provider.how_it_ended


# ---- whose option is it?


def test_the_client_is_told_what_every_request_needs() -> None:
    headers = {"authorization": "Bearer one"}
    made: list[dict[str, Any]] = []

    class Client(EnvClient[Any, Any, Any]):
        def __init__(self, base_url: str, **options: Any) -> None:
            made.append(options)
            super().__init__(base_url, **options)

    provider = EndpointProvider(Endpoint("http://127.0.0.1:1", headers))
    given = {"headers": {"x-mine": "2"}}
    asyncio.run(launch(Client, provider, of_client=given))
    assert made[0]["headers"] == {"authorization": "Bearer one", "x-mine": "2"}


@pytest.mark.parametrize(
    ("client_cls", "given", "of_client", "of_provider", "timeout_s"),
    [
        (EchoEnv, {"memory": "1g"}, {}, {"memory": "1g"}, 30.0),
        (EchoEnv, {"timeout_s": 5, "wait_s": 2}, {"wait_s": 2}, {}, 5),
        (EchoEnv, {"wait_timeout": 7}, {}, {}, 7),
        (EchoEnv, {"request_timeout_s": 9}, {"message_timeout_s": 9}, {}, 30.0),
        (HTTPEnvClient, {"request_timeout_s": 9}, {"request_timeout_s": 9}, {}, 30.0),
        # The URL is the provider's to say.
        (EchoEnv, {"base_url": "http://x"}, {}, {"base_url": "http://x"}, 30.0),
        (EchoEnv, {"link": "other"}, {}, {"link": "other"}, 30.0),
    ],
)
def test_an_option_goes_to_whom_it_means(
    client_cls: type, given: Any, of_client: Any, of_provider: Any, timeout_s: float
) -> None:
    assert sort_options(client_cls, given) == (of_client, of_provider, timeout_s)


def test_a_client_class_that_passes_options_on_gets_them() -> None:
    class Mine(EchoEnv):
        def __init__(self, base_url: str, colour: str = "red", **options: Any) -> None:
            super().__init__(base_url, **options)

    of_client, of_provider, _ = sort_options(Mine, {"wait_s": 2, "colour": "blue", "cpus": 1})
    assert (of_client, of_provider) == ({"wait_s": 2, "colour": "blue"}, {"cpus": 1})
