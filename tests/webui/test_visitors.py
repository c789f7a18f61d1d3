"""The routes that existing tools call, and the socket that shows what they have done."""

import json
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from openenv.app import create_app
from openenv.environment import Environment
from openenv.models import State
from openenv.server.config import ServerConfig
from openenv.server.http.sessions import SESSION_COOKIE, SESSION_HEADER, SHOWN_S
from openenv.webui import visitors
from openenv.webui.episode_log import EpisodeLog
from openenv.webui.visitors import VISITOR_COOKIE
from tests.environments import Counter, ThreadCounter
from tests.patience import within
from tests.server.asking import add, client_of, served, until
from tests.serving import serving
from tests.worker_environments import Talk

BROWSER = {"Origin": "http://127.0.0.1", "Sec-Fetch-Mode": "cors"}


class Repeat(Environment[dict[str, Any], dict[str, Any], State]):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self) -> dict[str, Any]:
        return {}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        return {"heard": action}


class Mute(Repeat):
    def message_to_action(self, message: dict[str, str]) -> object:
        return object()


@asynccontextmanager
async def looking_on(http: httpx.AsyncClient, **headers: str) -> AsyncIterator[ClientConnection]:
    url = str(http.base_url).replace("http", "ws", 1)
    if http.cookies:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    async with connect(f"{url}/ws/ui", additional_headers=headers, proxy=None) as socket:
        for cookie in socket.response.headers.get_all("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            http.cookies.set(name, value)
        yield socket


async def update(socket: ClientConnection) -> dict[str, Any]:
    async with within(10):
        message = json.loads(await socket.recv())
    assert message["type"] == "state_update"
    content: dict[str, Any] = message["episode_state"]
    return content


@pytest.mark.parametrize("execution", ["inline", "thread", "process"])
async def test_an_episode_over_the_routes(execution: str) -> None:
    async with served(Counter, web=True, execution=execution) as (http, registry):
        reset = await http.post("/web/reset", json={"seed": 5})
        step = await http.post("/web/step", json=add(2))
        state = await http.get("/web/state")
        assert registry.active == 1
    assert (reset.status_code, reset.json()["observation"]) == (200, {"total": 5})
    assert step.json() == {"observation": {"total": 7}, "reward": 2.0, "done": False}
    assert state.json()["step_count"] == 1


async def test_metadata_is_that_of_the_server() -> None:
    async with served(Counter, web=True) as (http, _):
        assert (await http.get("/web/metadata")).json() == (await http.get("/metadata")).json()


async def test_a_reset_without_a_body_and_a_state_before_it() -> None:
    async with served(Counter, web=True) as (http, _):
        early = await http.get("/web/state")
        assert (early.status_code, early.json()["code"]) == (409, "NOT_RESET")
        assert (await http.post("/web/reset")).json()["observation"] == {"total": 0}


@pytest.mark.parametrize("body", [add("many"), {"action": []}, {}])
async def test_an_action_that_does_not_fit_is_refused_with_the_reason(body: Any) -> None:
    async with served(Counter, web=True) as (http, _):
        await http.post("/web/reset")
        reply = await http.post("/web/step", json=body)
        assert (reply.status_code, reply.json()["code"]) == (422, "PAYLOAD_ERROR")
        assert reply.json()["message"]
        assert (await http.post("/web/step", json=add(1))).status_code == 200


async def test_a_message_is_an_action_of_its_own_unless_the_environment_makes_one() -> None:
    for env, heard in (
        (Repeat, {"heard": {"message": "hello there"}}),
        (Talk, {"messages": ["user", "hello", "there"]}),
    ):
        async with served(env, web=True) as (http, _):
            early = await http.post("/web/step", json={"message": "hello there"})
            assert (early.status_code, early.json()["code"]) == (409, "NOT_RESET")
            await http.post("/web/reset")
            reply = await http.post("/web/step", json={"message": "hello there"})
            assert reply.json()["observation"] == heard


async def test_words_become_actions_in_worker_processes_too() -> None:
    async with served(Talk, web=True, execution="process") as (http, _):
        await http.post("/web/reset")
        reply = await http.post("/web/step", json={"message": "hello"})
        assert reply.json()["observation"] == {"messages": ["user", "hello"]}


async def test_visitors_have_a_session_each_which_counts() -> None:
    app = create_app(ThreadCounter, max_concurrent_envs=2, web=True)
    async with (
        serving(app) as url,
        client_of(url) as one,
        client_of(url) as two,
        client_of(url) as three,
    ):
        for visitor in (one, two, three):
            visitor.headers.update(BROWSER)
        await one.post("/web/reset")
        await one.post("/web/step", json=add(3))
        # Whoever has no session plays in nobody else's.
        for early in (await two.post("/web/step", json=add(1)), await two.get("/web/state")):
            assert (early.status_code, early.json()["code"]) == (409, "NOT_RESET")
        await two.post("/web/reset", json={"seed": 50})
        await two.post("/web/step", json=add(1))
        assert (await one.post("/web/step", json=add(1))).json()["observation"] == {"total": 4}
        refused = await three.post("/web/reset")
        assert (refused.status_code, refused.json()["code"]) == (503, "CAPACITY_REACHED")


async def test_the_socket_shows_an_episode_as_it_goes_on() -> None:
    async with served(Counter, web=True) as (http, _), looking_on(http) as socket:
        nothing = await update(socket)
        assert nothing == {
            "episode_id": None,
            "step_count": 0,
            "current_observation": None,
            "action_logs": [],
            "is_reset": True,
        }
        await http.post("/web/reset", json={"seed": 1, "episode_id": "mine"})
        begun = await update(socket)
        assert (begun["episode_id"], begun["current_observation"]) == ("mine", {"total": 1})
        assert (begun["is_reset"], begun["action_logs"]) == (True, [])
        await http.post("/web/step", json=add(2))
        stepped = await update(socket)
        (line,) = stepped["action_logs"]
        assert line.pop("timestamp")
        assert line == {
            "action": {"amount": 2},
            "observation": {"total": 3},
            "reward": 2.0,
            "done": False,
            "step_count": 1,
        }
        assert (stepped["step_count"], stepped["is_reset"]) == (1, False)
        await http.post("/web/step", json=add("many"))
        await http.post("/web/reset")
        again = await update(socket)
        assert (again["action_logs"], again["step_count"], again["is_reset"]) == ([], 0, True)


async def test_a_socket_shows_what_another_program_does_in_the_session() -> None:
    async with served(Counter, web=True) as (http, _), looking_on(http) as socket:
        await update(socket)
        await http.post("/web/reset")
        await update(socket)
        # What a tool says is no request.
        await socket.send("ping")
        async with client_of(str(http.base_url)) as other:
            named = {SESSION_HEADER: http.cookies[SESSION_COOKIE], **BROWSER}
            await other.post("/web/step", json=add(6), headers=named)
        assert (await update(socket))["current_observation"] == {"total": 6}


async def test_a_socket_that_comes_later_is_shown_all_at_once() -> None:
    async with served(Counter, web=True) as (http, _):
        await http.post("/web/reset")
        for _ in range(3):
            await http.post("/web/step", json=add(1))
        async with looking_on(http) as socket:
            assert len((await update(socket))["action_logs"]) == 3


async def test_a_socket_shows_its_own_visitors_episode_alone() -> None:
    app = create_app(Counter, web=True)
    async with serving(app) as url, client_of(url) as one, client_of(url) as two:
        one.headers.update(BROWSER)
        two.headers.update(BROWSER)
        async with looking_on(one, **BROWSER) as ones, looking_on(two, **BROWSER) as twos:
            await update(ones)
            await update(twos)
            await one.post("/web/reset", json={"seed": 1})
            await two.post("/web/reset", json={"seed": 2})
            assert (await update(ones))["current_observation"] == {"total": 1}
            assert (await update(twos))["current_observation"] == {"total": 2}
            await two.post("/web/step", json=add(1))
            await one.post("/web/step", json=add(1))
            assert (await update(ones))["current_observation"] == {"total": 2}
            assert (await update(twos))["current_observation"] == {"total": 3}


async def test_tools_that_keep_no_cookies_are_shown_the_default_session() -> None:
    async with served(Counter, web=True) as (http, _), looking_on(http) as socket:
        await update(socket)
        for path, body in (("/web/reset", {}), ("/web/step", add(4))):
            http.cookies.clear()
            await http.post(path, json=body)
            shown = await update(socket)
        assert shown["current_observation"] == {"total": 4}


async def test_a_session_lives_while_its_socket_does_and_ends_after_a_grace() -> None:
    config = ServerConfig(web=True, session_timeout_s=0.2, grace_s=0.1)
    async with served(Counter, config=config) as (http, registry):
        async with looking_on(http) as socket:
            await http.post("/web/reset")
            session = registry.sessions[http.cookies[SESSION_COOKIE]]
            unseen = await http.post("/sessions")
            await until(lambda: unseen.json()["session_id"] not in registry.sessions)
            assert not session.is_ended
            assert VISITOR_COOKIE in http.cookies
            await update(socket)
        await until(lambda: session.is_ended)


async def test_a_shared_instance_is_everybodys() -> None:
    async with served(Counter(), web=True) as (http, _):
        http.headers.update(BROWSER)
        await http.post("/web/reset", json={"seed": 1})
        http.cookies.clear()
        reply = await http.post("/web/step", json=add(1))
        assert reply.json()["observation"] == {"total": 2}


async def test_a_shared_instance_outlives_its_sockets() -> None:
    async with served(Counter(), config=ServerConfig(web=True, grace_s=0.1)) as (http, registry):
        async with looking_on(http) as socket:
            await http.post("/web/reset")
            await update(socket)
            session = registry.shared
            await until(lambda: session.idle_limit_s == SHOWN_S)
        await until(lambda: session.idle_limit_s != SHOWN_S)
        assert session.idle_limit_s is None


async def test_a_full_server_ends_no_session_that_a_socket_shows() -> None:
    config = ServerConfig(web=True, max_concurrent_envs=1)
    async with served(Counter, config=config) as (http, _), looking_on(http):
        await http.post("/web/reset")
        async with client_of(str(http.base_url)) as other:
            refused = await other.post("/web/reset")
        assert (refused.status_code, refused.json()["code"]) == (503, "CAPACITY_REACHED")
        assert (await http.post("/web/step", json=add(1))).status_code == 200


async def test_reading_the_state_leaves_the_grace_as_it_is() -> None:
    async with served(Counter, config=ServerConfig(web=True, grace_s=0.1)) as (http, registry):
        async with looking_on(http):
            await http.post("/web/reset")
            session = registry.sessions[http.cookies[SESSION_COOKIE]]
            for path in ("/web/state", "/state"):
                assert (await http.get(path)).status_code == 200
        await until(lambda: session.idle_limit_s == 0.1)


async def test_a_socket_is_shown_the_episode_that_another_program_begins() -> None:
    async with served(Counter, web=True) as (http, _):
        await http.post("/web/reset", json={"seed": 1})
        async with looking_on(http) as socket:
            await update(socket)
            await http.post("/web/step", json=add(1))
            await update(socket)
            named = {SESSION_HEADER: http.cookies[SESSION_COOKIE]}
            async with client_of(str(http.base_url)) as other:
                await other.post("/web/reset", json={"seed": 9}, headers=named)
            shown = await update(socket)
    assert (shown["current_observation"], shown["action_logs"]) == ({"total": 9}, [])


async def test_a_browser_is_not_shown_what_tools_without_cookies_play() -> None:
    async with (
        served(Counter, web=True) as (http, _),
        client_of(str(http.base_url)) as browser,
        looking_on(browser, Origin="http://127.0.0.1") as socket,
    ):
        await update(socket)
        await http.post("/web/reset", json={"seed": 9})
        browser.headers.update(BROWSER)
        await browser.post("/web/reset", json={"seed": 1})
        assert (await update(socket))["current_observation"] == {"total": 1}


async def test_a_step_that_is_sent_again_is_taken_and_logged_once() -> None:
    bodies: list[dict[str, Any]] = [{"action": {}}, {"message": "hello"}]
    for body in bodies:
        async with served(Repeat, web=True) as (http, _):
            await http.post("/web/reset")
            for _ in range(2):
                await http.post("/web/step", json={**body, "request_id": "once"})
            async with looking_on(http) as socket:
                shown = await update(socket)
            assert (shown["step_count"], len(shown["action_logs"])) == (1, 1)


async def test_logs_of_ended_sessions_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[EpisodeLog]] = []

    class Known(EpisodeLog):
        def __init__(self) -> None:
            super().__init__()
            made.append(weakref.ref(self))

    monkeypatch.setattr(visitors, "EpisodeLog", Known)
    async with served(Counter, web=True) as (http, _):
        for _ in range(3):
            await http.post("/web/reset")
            await http.post("/close")
        assert [log() is None for log in made] == [True, True, False]


async def test_what_is_no_action_is_the_environments_fault() -> None:
    async with served(Mute, web=True) as (http, _):
        await http.post("/web/reset")
        reply = await http.post("/web/step", json={"message": "hello"})
        assert (reply.status_code, reply.json()["code"]) == (500, "ENVIRONMENT_FAULT")
        assert "message_to_action has returned what is no action" in reply.json()["message"]


async def test_a_visitors_cookie_that_no_header_can_hold_is_replaced() -> None:
    async with served(Counter, web=True) as (http, _):
        http.cookies.set(VISITOR_COOKIE, r'"a\015\012X-Own: 1"')
        async with looking_on(http) as socket:
            assert socket.response is not None
            assert "X-Own" not in socket.response.headers
            assert (await update(socket))["is_reset"] is True


def test_a_log_holds_a_thousand_steps_and_fewer_large_ones() -> None:
    @dataclass
    class Result:
        observation: Any
        reward: float | None = None
        done: bool = False
        truncated: bool = True

    log = EpisodeLog()
    log.begin("one", {})
    for number in range(1, 1003):
        log.add(number, {}, Result({"at": number}))
    lines = json.loads(log.message())["episode_state"]["action_logs"]
    assert [line["step_count"] for line in (lines[0], lines[-1])] == [3, 1002]
    assert lines[0]["done"] is True
    for number in range(1003, 1023):
        log.add(number, {}, Result({"at": "x" * 1_000_000}))
    lines = json.loads(log.message())["episode_state"]["action_logs"]
    assert [line["step_count"] for line in lines] == [1019, 1020, 1021, 1022]
