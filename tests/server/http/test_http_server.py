"""HTTPEnvServer: an environment in an app that somebody else has made."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate
from starlette.applications import Starlette
from starlette.routing import Mount

from openenv.client.env import EnvClient
from openenv.errors import ConfigurationError, PayloadError
from openenv.models import State
from openenv.server.http.http_server import HTTPEnvServer
from openenv.server.http.routes import session_routes
from tests.environments import Add, Counter, ThreadCounter, Total
from tests.server.asking import CounterEnv, add, client_of
from tests.serving import serving


def app_with(server: HTTPEnvServer, kind: str) -> Any:
    if kind == "starlette":
        app: Any = Starlette()
        server.register_routes(app)
    else:
        app = FastAPI()
        if kind == "router":
            app.include_router(server.router)
        else:
            server.register_routes(app)
    return app


@pytest.mark.parametrize("kind", ["starlette", "fastapi", "router"])
async def test_episodes_go_on_over_both_transports_in_any_app(kind: str) -> None:
    server = HTTPEnvServer(ThreadCounter, Add, Total, max_concurrent_envs=2)
    async with serving(app_with(server, kind)) as url, client_of(url) as http:
        await http.post("/reset", json={"seed": 5})
        assert (await http.post("/step", json=add(1))).json()["observation"] == {"total": 6}
        async with CounterEnv(url) as env:
            assert (await env.reset(seed=1)).observation.total == 1
        assert (await http.get("/health")).json()["status"] == "healthy"
        assert (await http.delete("/sessions/nobody")).status_code == 404
        if kind != "starlette":
            content = (await http.get("/openapi.json")).json()
            validate(content)
            assert "/reset" in content["paths"]
    # The app's lifespan has ended the sessions.
    assert (server.active_sessions, Counter.living) == (0, 0)


async def test_it_works_without_our_lifespan() -> None:
    server = HTTPEnvServer(Counter, Add, Total)
    app = Starlette(routes=[Mount("/env", routes=session_routes(server.registry))])
    async with serving(app) as url, client_of(url) as http:
        reset = await http.post("/env/reset", json={"seed": 5})
        assert "Path=/env;" in reset.headers["set-cookie"]
        assert (await http.post("/env/step", json=add(1))).json()["observation"] == {"total": 6}
        async with CounterEnv(f"{url}/env") as env:
            assert (await env.reset(seed=1)).observation.total == 1
        await server.aclose()
    assert Counter.living == 0


async def test_an_app_keeps_its_own_lifespan() -> None:
    seen: list[str] = []

    class Lifespan:
        def __init__(self, _: Any) -> None:
            pass

        async def __aenter__(self) -> dict[str, Any]:
            seen.append("begun")
            return {}

        async def __aexit__(self, *_: object) -> None:
            seen.append("ended")

    app = Starlette(lifespan=Lifespan)
    HTTPEnvServer(Counter, Add, Total).register_routes(app)
    async with serving(app) as url, client_of(url) as http:
        await http.post("/reset")
    assert seen == ["begun", "ended"]


class Mode(Enum):
    PRODUCTION = "production"


@pytest.mark.parametrize("mode", ["production", "PRODUCTION", Mode.PRODUCTION])
async def test_in_production_http_plays_no_episodes(mode: Any) -> None:
    app = Starlette()
    HTTPEnvServer(Counter, Add, Total).register_routes(app, mode=mode)
    async with serving(app) as url, client_of(url) as http:
        assert (await http.post("/reset")).status_code == 404
        assert (await http.get("/schema")).status_code == 200
        assert "/reset" not in (await http.get("/openapi.json")).json()["paths"]
        async with CounterEnv(url) as env:
            assert (await env.reset()).observation.total == 0


def test_another_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid mode"):
        HTTPEnvServer(Counter, Add, Total).register_routes(Starlette(), mode="training")


class Shouting(HTTPEnvServer):
    def _deserialize_action(self, data: dict[str, Any]) -> Add:
        return Add(amount=int(data["more"]))

    def _serialize_observation(self, observation: Total) -> dict[str, Any]:
        shown = super()._serialize_observation(observation)
        shown["observation"]["shout"] = "!" * observation.total
        return shown


async def test_overridden_hooks_hold_on_every_transport() -> None:
    app = Starlette()
    Shouting(Counter, Add, Total).register_routes(app)
    async with serving(app) as url, client_of(url) as http:
        await http.post("/reset")
        step = await http.post("/step", json={"action": {"more": "3"}})
        assert step.json() == {
            "observation": {"total": 3, "shout": "!!!"},
            "reward": 3.0,
            "done": False,
        }
        bad = await http.post("/step", json={"action": {"less": 1}})
        assert (bad.status_code, bad.json()["code"]) == (422, "PAYLOAD_ERROR")

        class ShoutingEnv(EnvClient):
            pass

        async with ShoutingEnv(url) as env:
            await env.reset()
            assert (await env.step({"more": 2})).observation["shout"] == "!!"
            with pytest.raises(PayloadError):
                await env.step({"more": "much"})


def test_the_hooks_do_what_they_did_in_the_first_release() -> None:
    server = HTTPEnvServer(Counter, Add, Total)
    assert server._deserialize_action({"amount": 2}) == Add(2)
    assert server._serialize_observation(Total(3, reward=1.0)) == {
        "observation": {"total": 3},
        "reward": 1.0,
        "done": False,
    }
    with pytest.raises(PayloadError):
        server._deserialize_action({"amount": "much"})


async def test_it_tells_how_full_it_is_and_what_a_session_does() -> None:
    server = HTTPEnvServer(Counter, Add, Total, max_concurrent_envs=1)
    assert server.get_capacity_status().available_slots == 1
    async with serving(app_with(server, "starlette")) as url, CounterEnv(url) as env:
        await env.reset()
        await env.step(Add(1))
        status = server.get_capacity_status()
        assert (status.active_sessions, status.max_sessions) == (1, 1)
        assert status.is_at_capacity
        assert status == type(status).from_counts(1, 1)
        info = server.get_session_info(str(env.session_token))
        assert info is not None
        assert (info.step_count, info.environment_type) == (1, "Counter")
        assert 0 <= info.last_activity_at - info.created_at < 60
        assert server.get_session_info("nobody") is None


@dataclass
class Limits:
    max_concurrent_envs: int = 3
    session_timeout: float | None = 9.0


def test_its_settings_can_be_read() -> None:
    server = HTTPEnvServer(Counter, Add, Total, concurrency_config=Limits())
    assert (server.action_cls, server.observation_cls) == (Add, Total)
    assert (server.max_concurrent_envs, server.is_concurrency_safe) == (3, True)
    assert server.concurrency_config == Limits()
    plain = HTTPEnvServer(Counter, Add, Total, 4)
    assert plain.concurrency_config.max_concurrent_envs == 4


def test_a_class_in_the_fourth_place_is_the_states() -> None:
    server = HTTPEnvServer(Counter, Add, Total, State)
    assert server.registry.spec.replies.state.cls is State


def test_both_kinds_of_limits_at_once_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        HTTPEnvServer(Counter, Add, Total, 4, Limits())
