"""The OpenAPI document is valid, complete and true."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from openapi_spec_validator import validate

from openenv.app import create_app
from openenv.environment import Environment
from openenv.models import Action, Observation, State
from openenv.server.http.openapi import document
from tests.environments import Counter
from tests.server.asking import served


@dataclass
class Point:
    x: int
    y: int


@dataclass
class Tree:
    at: Point
    below: "list[Tree]"


@dataclass(kw_only=True)
class Act(Action):
    path: list[Point]
    tree: Tree


@dataclass(kw_only=True)
class Obs(Observation):
    at: Point
    image: np.ndarray[Any, np.dtype[np.uint8]] | None = None


@dataclass(kw_only=True)
class Where(State):
    at: Point | None = None


class Walk(Environment[Act, Obs, Where]):
    def reset(self) -> Obs:
        return Obs(at=Point(0, 0))

    def step(self, action: Act) -> Obs:
        return Obs(at=action.path[-1])


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


@pytest.mark.parametrize("env", [Counter, Walk])
async def test_the_document_is_valid_and_every_reference_leads_somewhere(env: type) -> None:
    async with served(env) as (http, _):
        content = (await http.get("/openapi.json")).json()
    assert content["openapi"].startswith("3.1")
    assert content["info"]["title"] == env.__name__
    assert content["info"]["version"].startswith("1.")
    validate(content)
    for reference in references(content):
        found: Any = content
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


async def test_the_payloads_of_the_environment_are_in_it() -> None:
    async with served(Walk) as (http, _):
        schemas = (await http.get("/openapi.json")).json()["components"]["schemas"]
    assert set(schemas["Action"]["properties"]) == {"metadata", "path", "tree"}
    assert set(schemas["State"]["properties"]) == {"episode_id", "step_count", "at"}
    assert set(schemas["Action.Point"]["properties"]) == {"x", "y"}


async def test_every_route_is_in_it_and_nothing_else() -> None:
    app = create_app(Counter)
    routed = {
        (route.path, method.lower())
        for route in app.routes
        for method in (getattr(route, "methods", None) or ())
        if method != "HEAD"
    }
    async with served(Counter) as (http, _):
        paths = (await http.get("/openapi.json")).json()["paths"]
    described = {(path, method) for path, methods in paths.items() for method in methods}
    assert routed - described == {("/docs", "get"), ("/openapi.json", "get")}
    assert described <= routed


def test_without_episodes_only_what_is_left_is_described() -> None:
    schemas: dict[str, Any] = {
        kind: {"type": "object"} for kind in ("action", "observation", "state")
    }
    content = document("tools", schemas, with_episodes=False)
    validate(content)
    assert set(content["paths"]) == {"/health", "/metadata", "/schema"}


def test_names_that_a_component_cannot_have_are_changed_everywhere() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/$defs/Box[int]~1x"}},
        "$defs": {"Box[int]/x": {"type": "integer"}},
    }
    plain = {"type": "object"}
    content = document("boxes", {"action": schema, "observation": plain, "state": plain})
    validate(content)
    components = content["components"]["schemas"]
    assert components["Action"]["properties"]["a"]["$ref"].endswith("/Action.Box_int__x")
    assert components["Action.Box_int__x"] == {"type": "integer"}
