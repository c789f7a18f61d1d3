"""000 and 001: README and registry page of the first release."""

import httpx
import pytest

from openenv.client.generic import GenericEnvClient
from openenv.errors import PayloadError, ProviderUnavailable, SessionCapacityError
from tests.seeds.conftest import Load, before, sample
from tests.serving import serving, serving_elsewhere

FROM_DOCKER = 'MyEnvClient.from_docker_image("my-env:latest")'
CLIENT = before(sample("000_client.txt"), "# Use with Docker")
SERVER = sample("000_server.txt")

# The client uses Any without importing it.
IMPORT_ANY = "from typing import Any\n"

HOOKS = """
from fastapi import FastAPI

class MyServer(HTTPEnvServer):
    def _deserialize_action(self, data):
        return MyAction(text=data["words"].upper())

    def _serialize_observation(self, obs):
        return {"observation": {"said": obs.response}, "reward": obs.reward, "done": obs.done}

own_app = FastAPI()
MyServer(env, MyAction, MyObservation).register_routes(own_app)
"""


def test_000_client_plays_an_episode_as_written(load: Load) -> None:
    server = load("server", SERVER)
    with serving_elsewhere(server.app) as url:
        # All of it, with a server's URL in place of an image.
        connected = sample("000_client.txt").replace(FROM_DOCKER, f"MyEnvClient(base_url={url!r})")
        client = load("client", IMPORT_ANY + connected)
    assert client.result.observation == client.MyObservation(response="Ready")
    assert client.step_result.observation == client.MyObservation(response="Echo: hello")
    assert (client.step_result.reward, client.step_result.done) == (1.0, False)


def test_000_client_parses_the_state_by_its_hook(load: Load) -> None:
    server, client = load("server", SERVER), load("client", IMPORT_ANY + CLIENT)
    with serving_elsewhere(server.app) as url, client.MyEnvClient(base_url=url) as env:
        env.reset()
        env.step(client.MyAction(text="hello"))
        assert env.state()["step_count"] == 1


async def test_000_server_shares_one_session_between_websocket_and_http(load: Load) -> None:
    server = load("module", SERVER)
    async with (
        serving(server.app) as url,
        httpx.AsyncClient(base_url=url) as http,
        GenericEnvClient(base_url=url) as socket,
    ):
        first = await socket.reset(episode_id="one")
        assert (first.observation["response"], first.reward) == ("Ready", 0.0)
        # A nameless request attaches to the session, whoever has opened it.
        reply = await http.post("/step", json={"action": {"text": "hello"}})
        assert reply.json() == {
            "observation": {"response": "Echo: hello"},
            "reward": 1.0,
            "done": False,
        }
        # The sample has no state of its own: openenv counts.
        assert (await http.get("/state")).json() == {"episode_id": "one", "step_count": 1}
        assert await socket.state() == {"episode_id": "one", "step_count": 1}


async def test_000_server_has_room_for_one_websocket(load: Load) -> None:
    server = load("module", SERVER)
    async with serving(server.app) as url:
        async with GenericEnvClient(base_url=url) as first:
            await first.reset()
            async with GenericEnvClient(base_url=url) as second:
                with pytest.raises(SessionCapacityError) as caught:
                    await second.reset()
            assert (caught.value.active_sessions, caught.value.max_sessions) == (1, 1)
            assert (await first.step({"text": "still here"})).reward == 1.0
        async with GenericEnvClient(base_url=url) as third:
            assert (await third.reset()).observation["response"] == "Ready"


async def test_000_server_keeps_its_instance_until_it_stops(load: Load) -> None:
    server = load("module", SERVER)
    closed: list[str] = []
    server.env.close = lambda: closed.append("closed")
    async with serving(server.app) as url:
        for _ in range(2):
            async with GenericEnvClient(base_url=url) as client:
                await client.reset()
        assert closed == []
    assert closed == ["closed"]


async def test_000_hooks_hold_on_every_transport(load: Load) -> None:
    # The document only names the hooks.
    server = load("module", SERVER + HOOKS)
    expected = {"said": "Echo: HELLO"}
    async with (
        serving(server.own_app) as url,
        httpx.AsyncClient(base_url=url) as http,
        GenericEnvClient(base_url=url) as socket,
    ):
        assert (await socket.reset()).observation["said"] == "Ready"
        result = await socket.step({"words": "hello"})
        assert (result.observation["said"], result.reward) == ("Echo: HELLO", 1.0)
        reply = await http.post("/step", json={"action": {"words": "hello"}})
        assert reply.json() == {"observation": expected, "reward": 1.0, "done": False}
        with pytest.raises(PayloadError, match="words"):
            await socket.step({"text": "hello"})


def test_000_kubernetes_provider_says_that_it_does_not_exist_yet(load: Load) -> None:
    with pytest.raises(ProviderUnavailable, match="'envs'"):
        load("kubernetes", sample("000_kubernetes.txt"))
