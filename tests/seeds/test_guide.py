"""003: the implementation guide, its own environment from class to served folder."""

from pathlib import Path
from types import ModuleType

import httpx
import pytest
from starlette.applications import Starlette

from openenv.app import create_app
from openenv.client.env import EnvClient
from openenv.client.generic import GenericEnvClient
from openenv.server.http.http_server import HTTPEnvServer
from openenv.server.target import load_target
from tests.processes import serving_process
from tests.seeds.conftest import Load, sample
from tests.serving import serving, serving_elsewhere

ENVIRONMENT, APP = sample("003_environment.txt"), sample("003_app.txt")
# The client uses the environment's classes without importing them.
CLIENT = "from my_environment import MyAction, MyObservation, MyState\n" + sample("003_client.txt")


def load_project(load: Load) -> ModuleType:
    """Lay out the guide's project; return the module of its app."""
    for empty in ("my_env.__init__", "my_env.server.__init__"):
        load(empty, "")
    load("my_env.server.my_environment", ENVIRONMENT)
    return load("my_env.server.app", APP)


async def test_003_my_environment_needs_no_super_and_has_a_state_method(load: Load) -> None:
    my = load("my_environment", ENVIRONMENT)

    class Client(EnvClient[my.MyAction, my.MyObservation, my.MyState]):  # type: ignore[name-defined]
        """Typed by the sample's classes."""

    async with serving(create_app(my.MyEnvironment)) as url, Client(url) as env:
        first = await env.reset()
        assert first.observation == my.MyObservation(result="Environment reset")
        for count in range(1, 101):
            result = await env.step(my.MyAction(command=f"go {count}"))
            assert result.observation.result == f"Processed: go {count}"
            assert (result.reward, result.done) == (1.0, count == 100)
        assert await env.state() == my.MyState(step_count=100)
        await env.reset()
        assert await env.state() == my.MyState(step_count=0)


async def test_003_my_environment_tells_its_types_to_the_schema(load: Load) -> None:
    my = load("my_environment", ENVIRONMENT)
    async with (
        serving(create_app(my.MyEnvironment)) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        schema = (await http.get("/schema")).json()
    assert set(schema["action"]["properties"]) == {"command", "value"}
    assert set(schema["observation"]["properties"]) == {"result", "done", "reward"}
    assert set(schema["state"]["properties"]) == {"step_count", "episode_reward"}


def test_003_my_env_client_plays_by_its_hooks(load: Load) -> None:
    my, client = load("my_environment", ENVIRONMENT), load("client", CLIENT)
    with serving_elsewhere(create_app(my.MyEnvironment)) as url, client.MyEnv.from_url(url) as env:
        assert type(env) is client.MyEnv
        assert env.reset().observation == my.MyObservation(result="Environment reset")
        result = env.step(my.MyAction(command="go"))
        # The reward and the end travel beside the observation, and are back in it.
        assert result.observation == my.MyObservation(result="Processed: go", reward=1.0)
        assert (result.reward, result.done) == (1.0, False)
        assert env.state() == my.MyState(step_count=1)


async def test_003_fastapi_app_includes_the_routes_of_the_server(load: Load) -> None:
    app = load_project(load)
    assert app.server.max_concurrent_envs == 1
    async with (
        serving(app.app) as url,
        httpx.AsyncClient(base_url=url) as http,
        GenericEnvClient(url) as socket,
    ):
        assert (await socket.reset()).observation["result"] == "Environment reset"
        step = await http.post("/step", json={"action": {"command": "go"}})
        assert step.json()["observation"] == {"result": "Processed: go"}
        # The fourth argument is the class of the state.
        assert await socket.state() == {"step_count": 1, "episode_reward": 0.0}
        schema = (await http.get("/schema")).json()
        assert set(schema["state"]["properties"]) == {"step_count", "episode_reward"}
        # Ours came first, and the sample's own is never asked.
        assert (await http.get("/health")).json()["status"] == "healthy"
        document = (await http.get("/openapi.json")).json()
        assert document["info"]["title"] == "My Environment"
        assert "/step" in document["paths"]


async def test_003_server_registers_its_routes_on_a_starlette_app_too(load: Load) -> None:
    my = load("my_environment", ENVIRONMENT)
    app = Starlette()
    # In the fourth place a number is how many sessions there may be.
    server = HTTPEnvServer(my.MyEnvironment, my.MyAction, my.MyObservation, 1)
    server.register_routes(app)
    async with serving(app) as url, GenericEnvClient(url) as env:
        assert (await env.reset()).observation["result"] == "Environment reset"
        assert (server.active_sessions, server.max_concurrent_envs) == (1, 1)


@pytest.mark.parametrize("manifest", ["003_openenv.yaml", ""], ids=["the guide's", "ours"])
def test_003_openenv_yaml_leads_to_the_app(load: Load, tmp_path: Path, manifest: str) -> None:
    app = load_project(load)
    text = sample(manifest) if manifest else "spec_version: 1\nname: my_env\napp: server.app:app\n"
    (tmp_path / "my_env/openenv.yaml").write_text(text)
    # Its dependencies, torch among them, are not installed from here.
    assert load_target(str(tmp_path / "my_env")) is app.app


async def test_003_project_is_served_from_its_folder(load: Load, tmp_path: Path) -> None:
    load_project(load)
    (tmp_path / "my_env/openenv.yaml").write_text(sample("003_openenv.yaml"))
    async with (
        serving_process("my_env", "--port", "0", cwd=tmp_path) as (_, url),
        GenericEnvClient(url) as env,
    ):
        assert (await env.reset()).observation["result"] == "Environment reset"
        assert (await env.step({"command": "go"})).observation["result"] == "Processed: go"
