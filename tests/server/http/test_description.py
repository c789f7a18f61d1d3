"""What a server says of itself: health, metadata, schemas, page."""

import threading
from dataclasses import dataclass
from typing import Any

import pytest

from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app
from openenv.environment import Environment
from openenv.models import EnvironmentInfo, State
from tests.environments import Counter, Sleeper, ThreadCounter
from tests.server.asking import add, served


async def test_health_says_healthy_and_how_full_it_is() -> None:
    async with served(Counter, max_concurrent_envs=2) as (http, _):
        await http.post("/reset")
        reply = await http.get("/health")
        assert reply.status_code == 200
        assert reply.json()["status"] == "healthy"
        assert (reply.json()["active_sessions"], reply.json()["max_sessions"]) == (1, 2)


async def test_health_is_unhealthy_when_no_session_can_be_opened_any_more() -> None:
    Sleeper.release = threading.Event()
    async with served(Sleeper, max_concurrent_envs=1) as (http, _):
        await http.post("/reset")
        await http.post("/step", json={"action": {"hang": True}, "timeout_s": 0.05})
        reply = await http.get("/health")
        assert (reply.status_code, reply.json()["status"]) == (503, "unhealthy")
        Sleeper.release.set()


async def test_metadata_is_the_class_name_unless_the_environment_says_more() -> None:
    async with served(Counter) as (http, registry):
        reply = (await http.get("/metadata")).json()
        assert reply == {
            "name": "Counter",
            "description": "Counter environment",
            "version": "1.0.0",
            "author": None,
            "readme_content": None,
            "documentation_url": None,
        }
        assert not registry.sessions


async def test_metadata_shows_the_readme_of_the_environments_folder() -> None:
    async with served(EchoEnvironment) as (http, _):
        assert (await http.get("/metadata")).json()["readme_content"].startswith("# ")


class Described(ThreadCounter):
    def get_metadata(self) -> EnvironmentInfo:
        return EnvironmentInfo(name="counter", author="somebody", readme_content="Count.")


class DescribedByPydantic(ThreadCounter):
    def get_metadata(self) -> Any:
        class Model:
            def model_dump(self) -> dict[str, Any]:
                return {"name": "counter", "author": "somebody", "readme_content": "Count."}

        return Model()


@pytest.mark.parametrize("env", [Described, DescribedByPydantic])
@pytest.mark.parametrize("is_played", [False, True])
async def test_metadata_is_what_an_instance_says(env: type, is_played: bool) -> None:
    async with served(env, max_concurrent_envs=1) as (http, registry):
        if is_played:
            await http.post("/reset")
        reply = (await http.get("/metadata")).json()
        assert (reply["name"], reply["author"]) == ("counter", "somebody")
        assert reply["readme_content"] == "Count."
        assert (await http.get("/metadata")).json() == reply
        assert (await http.post("/reset")).status_code == 200
        assert registry.active == 1


async def test_metadata_that_fails_harms_no_episode(caplog: pytest.LogCaptureFixture) -> None:
    class Shy(Counter):
        def get_metadata(self) -> EnvironmentInfo:
            raise RuntimeError("not telling")

    async with served(Shy) as (http, _):
        await http.post("/reset")
        assert (await http.get("/metadata")).json()["name"] == "Shy"
        assert (await http.post("/step", json=add(1))).status_code == 200
    assert "not telling" in caplog.text


async def test_metadata_of_an_environment_that_cannot_be_made_is_an_error() -> None:
    class Unmade(Described):
        def __init__(self) -> None:
            raise OSError("no display")

    async with served(Unmade) as (http, registry):
        reply = await http.get("/metadata")
        assert (reply.status_code, reply.json()["code"]) == (500, "ENVIRONMENT_FACTORY_FAILED")
        assert registry.active == 0


@dataclass
class Deep:
    depth: int
    above: "Deep | None" = None


@dataclass(kw_only=True)
class Level(State):
    level: int = 1


class ByProperty(Environment[dict[str, Any], Deep]):
    def reset(self) -> Deep:
        return Deep(0)

    def step(self, action: dict[str, Any]) -> Deep:
        return Deep(1)

    @property
    def state(self) -> Level:
        return Level(level=4)


class ByMethod(ByProperty):
    async def state(self) -> Level:  # type: ignore[override]
        return Level(level=4)


class Unsaid(ByProperty):
    @property
    def state(self):  # type: ignore[no-untyped-def]
        return Level(level=4)


@pytest.mark.parametrize("env", [ByProperty, ByMethod])
async def test_the_state_schema_has_every_field_of_the_class_that_is_returned(env: type) -> None:
    async with served(env) as (http, _):
        schema = (await http.get("/schema")).json()
        assert set(schema) == {"action", "observation", "state"}
        assert set(schema["state"]["properties"]) == {"episode_id", "step_count", "level"}
        await http.post("/reset")
        assert (await http.get("/state")).json()["level"] == 4


async def test_a_state_that_is_not_annotated_is_any_object() -> None:
    async with served(Unsaid) as (http, _):
        assert (await http.get("/schema")).json()["state"] == {"type": "object"}


async def test_the_schema_of_a_class_that_holds_itself_can_be_resolved() -> None:
    async with served(ByProperty) as (http, _):
        schema = (await http.get("/schema")).json()["observation"]
        assert set(schema["properties"]) == {"depth", "above"}
        (reference,) = [
            one["$ref"] for one in schema["properties"]["above"]["anyOf"] if "$ref" in one
        ]
        assert reference.removeprefix("#/$defs/") in schema["$defs"]


class Foreign:
    pass


@dataclass
class Holder:
    number: int
    thing: Foreign | None = None


async def test_a_field_without_a_json_schema_leaves_the_others_theirs() -> None:
    class Odd(Environment[dict[str, Any], Holder, State]):
        def reset(self) -> Holder:
            return Holder(1)

        def step(self, action: dict[str, Any]) -> Holder:
            return Holder(2)

    async with served(Odd) as (http, _):
        reply = await http.get("/schema")
        assert reply.status_code == 200
        assert reply.json()["observation"]["properties"]["number"] == {"type": "integer"}


async def test_the_page_asks_no_other_host() -> None:
    async with served(Counter) as (http, _):
        reply = await http.get("/docs")
        assert reply.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "//" not in reply.text.replace("<!--", "")


def test_an_app_can_be_made_and_described_without_being_served() -> None:
    assert create_app(Counter).state.registry.health == "healthy"
