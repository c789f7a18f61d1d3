"""Episodes over plain HTTP, through a real server."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from openenv.environment import Environment
from openenv.models import State
from openenv.server.config import ServerConfig
from openenv.server.http.sessions import SESSION_HEADER
from tests.environments import AsyncCounter, Counter, Sleeper, ThreadCounter
from tests.patience import patient
from tests.server.asking import add, served, until

# ---- episodes


@pytest.mark.parametrize("env", [Counter, ThreadCounter, AsyncCounter])
async def test_an_episode_goes_on_from_request_to_request(env: type) -> None:
    async with served(env) as (http, registry):
        first = await http.post("/reset", json={"seed": 3, "episode_id": "mine"})
        assert first.status_code == 200
        assert first.json() == {"observation": {"total": 3}, "reward": 0.0, "done": False}
        await http.post("/step", json=add(2))
        second = await http.post("/step", json=add(4))
        assert second.json() == {"observation": {"total": 9}, "reward": 4.0, "done": False}
        assert (await http.get("/state")).json() == {"episode_id": "mine", "step_count": 2}
        assert (await http.post("/close")).json() == {"closed": True}
        assert (registry.active, Counter.living) == (0, 0)


async def test_an_empty_body_resets_too() -> None:
    async with served(Counter) as (http, _):
        assert (await http.post("/reset")).json()["observation"] == {"total": 0}


async def test_a_step_before_reset_is_refused() -> None:
    async with served(Counter) as (http, _):
        reply = await http.post("/step", json=add(1))
        assert (reply.status_code, reply.json()["code"]) == (409, "NOT_RESET")
        opened = await http.post("/sessions")
        named = {SESSION_HEADER: opened.json()["session_id"]}
        reply = await http.post("/step", json=add(1), headers=named)
        assert (reply.status_code, reply.json()["code"]) == (409, "NOT_RESET")


async def test_an_unknown_option_of_reset_is_named_and_costs_no_slot() -> None:
    async with served(Counter) as (http, registry):
        reply = await http.post("/reset", json={"level": 3})
        assert reply.status_code == 422
        assert reply.json()["details"] == {"path": ".level"}
        await until(lambda: not registry.sessions)


@dataclass
class Ending:
    truncated: bool = True
    reward: float = float("nan")
    metadata: dict[str, Any] = field(default_factory=lambda: {"why": "time"})


class Cut(Environment[dict[str, Any], Ending, State]):
    execution = "inline"

    def reset(self) -> Ending:
        return Ending(truncated=False, metadata={})

    def step(self, action: dict[str, Any]) -> Ending:
        return Ending()


async def test_optional_keys_come_when_they_say_something_and_nan_is_null() -> None:
    async with served(Cut) as (http, _):
        first = await http.post("/reset")
        assert first.json() == {"observation": {}, "reward": None, "done": False}
        last = await http.post("/step", json={"action": {}})
        assert last.json() == {
            "observation": {},
            "reward": None,
            "done": True,
            "truncated": True,
            "metadata": {"why": "time"},
        }


# ---- request_id


async def test_a_repeated_request_id_runs_the_step_once() -> None:
    async with served(Counter) as (http, _):
        await http.post("/reset")
        replies = [await http.post("/step", json=add(5, request_id="a")) for _ in range(3)]
        assert [reply.json()["observation"]["total"] for reply in replies] == [5, 5, 5]
        other = await http.post("/step", json=add(5, request_id="b"))
        assert other.json()["observation"]["total"] == 10


async def test_the_same_request_twice_at_once_waits_for_the_step_in_flight() -> None:
    Sleeper.release = threading.Event()
    async with served(Sleeper) as (http, registry):
        await http.post("/reset")
        body = {"action": {"hang": True}, "request_id": "a"}
        both = [asyncio.create_task(http.post("/step", json=body)) for _ in range(2)]
        (session,) = registry.sessions.values()
        await until(lambda: session.is_busy)
        # The second one is there when the server has read it: only then may the step end.
        await http.get("/health")
        Sleeper.release.set()
        for reply in await asyncio.gather(*both):
            assert reply.json()["observation"] == {"slept": True}
        assert (await http.get("/state")).json()["step_count"] == 1


async def test_a_step_goes_on_when_its_client_leaves_and_can_be_fetched_later() -> None:
    Sleeper.release = threading.Event()
    async with served(Sleeper) as (http, registry):
        await http.post("/reset")
        (session,) = registry.sessions.values()
        named = {SESSION_HEADER: session.token}
        body = {"action": {"hang": True}, "request_id": "a"}
        with pytest.raises(httpx.ReadTimeout):
            await http.post("/step", json=body, headers=named, timeout=0.2)
        assert session.is_busy
        handlers = [t for t in asyncio.all_tasks() if "run_asgi" in str(t.get_coro())]
        await asyncio.wait(handlers, timeout=patient(5))
        assert all(task.done() for task in handlers), "the request still waits for its reply"
        Sleeper.release.set()
        again = await http.post("/step", json=body, headers=named)
        assert again.json()["observation"] == {"slept": True}
        assert (await http.get("/state", headers=named)).json()["step_count"] == 1


# ---- failures


class Faulty(Environment[dict[str, Any], dict[str, Any], State]):
    execution = "inline"

    def reset(self) -> dict[str, Any]:
        return {}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        if action.get("unencodable"):
            return {"thing": object()}
        raise LookupError("out of cheese")


async def test_an_environment_that_raises_is_a_typed_500() -> None:
    async with served(Faulty) as (http, _):
        await http.post("/reset")
        reply = await http.post("/step", json={"action": {}})
        assert reply.status_code == 500
        assert reply.json() == {
            "code": "ENVIRONMENT_FAULT",
            "message": "out of cheese",
            "details": {"remote_type": "LookupError"},
        }
        assert (await http.post("/reset")).status_code == 200


async def test_an_observation_that_cannot_be_encoded_is_a_typed_500() -> None:
    async with served(Faulty) as (http, _):
        await http.post("/reset")
        reply = await http.post("/step", json={"action": {"unencodable": True}})
        assert (reply.status_code, reply.json()["code"]) == (500, "ENVIRONMENT_FAULT")


async def test_an_environment_that_cannot_be_made_is_a_typed_500_and_takes_no_slot() -> None:
    class Unmade(Counter):
        def __init__(self) -> None:
            raise OSError("no display")

    async with served(Unmade) as (http, registry):
        reply = await http.post("/reset")
        assert (reply.status_code, reply.json()["code"]) == (500, "ENVIRONMENT_FACTORY_FAILED")
        assert registry.active == 0


async def test_a_step_over_its_deadline_is_a_504_and_the_session_needs_a_reset() -> None:
    Sleeper.release = threading.Event()
    async with served(Sleeper) as (http, registry):
        await http.post("/reset")
        slow = await http.post("/step", json={"action": {"hang": True}, "timeout_s": 0.1})
        assert (slow.status_code, slow.json()["code"]) == (504, "STEP_TIMEOUT")
        assert (await http.get("/health")).json()["status"] == "degraded"
        assert (await http.post("/step", json={"action": {}})).status_code == 409
        assert (await http.post("/reset")).status_code == 200
        Sleeper.release.set()
        await until(lambda: registry.hung_threads == 0)
        assert (await http.get("/health")).json()["status"] == "healthy"


async def test_too_many_waiting_requests_are_a_429_that_may_be_repeated() -> None:
    Sleeper.release = threading.Event()
    config = ServerConfig(max_queued_requests=1)
    async with served(Sleeper, config=config) as (http, registry):
        await http.post("/reset")
        (session,) = registry.sessions.values()
        hanging = asyncio.create_task(http.post("/step", json={"action": {"hang": True}}))
        await until(lambda: session.is_busy)
        bodies = [{"action": {}, "request_id": name} for name in "ab"]
        both = {asyncio.create_task(http.post("/step", json=body)): body for body in bodies}
        first, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        (task,) = first
        assert (task.result().status_code, task.result().json()["code"]) == (
            429,
            "TOO_MANY_REQUESTS",
        )
        assert "retry-after" in task.result().headers
        Sleeper.release.set()
        await asyncio.gather(hanging, *waiting)
        assert (await http.post("/step", json=both[task])).status_code == 200
