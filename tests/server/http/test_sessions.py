"""Which session an HTTP request means, how long it lives, and that /ws has the same ones."""

import asyncio

import httpx
import pytest

from openenv.app import create_app
from openenv.server.config import ServerConfig
from openenv.server.http.sessions import SESSION_COOKIE, SESSION_HEADER
from tests.environments import Add, Counter, ThreadCounter
from tests.server.asking import CounterEnv, add, client_of, nameless, served, until
from tests.serving import serving

# ---- which session


async def test_clients_that_keep_cookies_have_a_session_each() -> None:
    async with serving(create_app(Counter)) as url, client_of(url) as one, client_of(url) as two:
        for client in (one, two):
            await client.post("/reset")
        for client in (one, two, one):
            await client.post("/step", json=add(1))
        states = [(await client.get("/state")).json() for client in (one, two)]
        assert [state["step_count"] for state in states] == [2, 1]


async def test_nameless_requests_mean_the_session_of_the_last_nameless_reset() -> None:
    async with served(Counter) as (http, _):
        await nameless(http, "POST", "/reset", json={"seed": 1})
        await nameless(http, "POST", "/reset", json={"seed": 50})
        reply = await nameless(http, "POST", "/step", json=add(1))
        assert reply.json()["observation"] == {"total": 51}
        assert (await nameless(http, "GET", "/state")).json()["step_count"] == 1
        assert (await nameless(http, "POST", "/close")).json() == {"closed": True}
        assert (await nameless(http, "POST", "/close")).json() == {"closed": False}


async def test_a_nameless_reset_takes_the_only_slot_from_the_one_before() -> None:
    async with served(ThreadCounter, max_concurrent_envs=1) as (http, registry):
        for seed in (1, 2, 3):
            reply = await nameless(http, "POST", "/reset", json={"seed": seed})
            assert reply.json()["observation"] == {"total": seed}
            assert registry.active == 1
        assert Counter.living == 1


async def test_a_nameless_reset_never_takes_a_slot_from_who_came_back() -> None:
    async with served(Counter, max_concurrent_envs=1) as (keeps_cookies, _):
        await keeps_cookies.post("/reset")
        await keeps_cookies.post("/step", json=add(1))
        async with client_of(str(keeps_cookies.base_url)) as other:
            refused = await other.post("/reset")
        assert (refused.status_code, refused.json()["code"]) == (503, "CAPACITY_REACHED")
        assert refused.json()["details"]["max_sessions"] == 1
        assert int(refused.headers["retry-after"]) >= 1
        step = await keeps_cookies.post("/step", json=add(1))
        assert step.json()["observation"] == {"total": 2}


async def test_a_default_that_nobody_claims_is_closed_when_another_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("openenv.server.http.sessions.ABANDONED_S", 0.05)
    config = ServerConfig(session_timeout_s=0.4)
    async with served(Counter, config=config) as (http, registry):
        first = await nameless(http, "POST", "/reset")
        await nameless(http, "POST", "/reset")
        await until(lambda: first.cookies[SESSION_COOKIE] not in registry.sessions)


async def test_a_cookie_that_outlived_its_session_is_an_error_until_reset() -> None:
    async with served(Counter) as (http, registry):
        await http.post("/reset")
        (session,) = registry.sessions.values()
        session.end("for the test")
        stale = await http.post("/step", json=add(1))
        assert (stale.status_code, stale.json()["code"]) == (404, "SESSION_EXPIRED")
        assert (await http.post("/reset")).status_code == 200
        assert (await http.post("/step", json=add(1))).json()["observation"] == {"total": 1}


async def test_the_header_names_a_session_and_wins_over_the_cookie() -> None:
    async with served(Counter) as (http, _):
        await http.post("/reset", json={"seed": 100})
        opened = await http.post("/sessions", json={"label": "second"})
        assert opened.status_code == 201
        named = {SESSION_HEADER: opened.json()["session_id"]}
        reset = await http.post("/reset", headers=named)
        assert "set-cookie" not in reset.headers
        step = await http.post("/step", json=add(1), headers=named)
        assert step.json()["observation"] == {"total": 1}
        assert (await http.post("/step", json=add(1))).json()["observation"] == {"total": 101}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/step"), ("GET", "/state"), ("POST", "/reset"), ("POST", "/close")],
)
async def test_an_unknown_session_is_not_found(method: str, path: str) -> None:
    async with served(Counter) as (http, registry):
        reply = await http.request(
            method, path, json=add(1) if path == "/step" else {}, headers={SESSION_HEADER: "nobody"}
        )
        assert (reply.status_code, reply.json()["code"]) == (404, "SESSION_NOT_FOUND")
        assert not registry.sessions


async def test_sessions_are_opened_listed_without_their_names_and_ended() -> None:
    async with served(Counter) as (http, registry):
        token = (await http.post("/sessions", json={"label": "one"})).json()["session_id"]
        listed = await http.get("/sessions")
        assert listed.json()["active_sessions"] == 1
        (session,) = listed.json()["sessions"]
        assert (session["label"], session["step_count"], session["busy"]) == ("one", 0, False)
        assert token not in listed.text
        found = await http.post("/sessions", json={"session_id": token})
        assert (found.status_code, found.json()) == (200, {"session_id": token})
        assert (await http.delete(f"/sessions/{token}")).json() == {"closed": True}
        assert (await http.delete(f"/sessions/{token}")).status_code == 404
        assert (registry.active, Counter.living) == (0, 0)


async def test_opening_a_session_can_wait_for_a_slot() -> None:
    async with served(Counter, max_concurrent_envs=1) as (http, registry):
        token = (await http.post("/sessions")).json()["session_id"]
        assert (await http.post("/sessions")).status_code == 503
        waiting = asyncio.create_task(http.post("/sessions", json={"wait_s": 10}))
        await until(lambda: len(registry.sessions) == 2)
        await http.delete(f"/sessions/{token}")
        assert (await waiting).status_code == 201


async def test_who_stops_waiting_for_a_slot_gets_none() -> None:
    async with served(Counter, max_concurrent_envs=1) as (http, registry):
        token = (await http.post("/sessions")).json()["session_id"]
        with pytest.raises(httpx.ReadTimeout):
            await http.post("/sessions", json={"wait_s": 60}, timeout=0.2)
        await until(lambda: len(registry.sessions) == 1)
        await http.delete(f"/sessions/{token}")
        assert registry.active == 0


async def test_a_session_that_nobody_uses_ends_by_itself() -> None:
    config = ServerConfig(session_timeout_s=0.1)
    async with served(Counter, config=config) as (http, registry):
        await http.post("/reset")
        await until(lambda: not registry.sessions)
        assert Counter.living == 0


# ---- one shared instance


async def test_http_attaches_to_the_one_session_of_a_shared_instance() -> None:
    app = create_app(Counter(), max_concurrent_envs=1)
    async with serving(app) as url, client_of(url) as http, CounterEnv(url) as env:
        await env.reset(seed=7)
        assert (await http.post("/step", json=add(1))).json()["observation"] == {"total": 8}
        assert (await env.step(Add(1))).observation.total == 9
        await http.post("/reset")
        assert (await env.step(Add(1))).observation.total == 1
        assert app.state.registry.active == 1


async def test_a_websocket_may_have_the_shared_session_that_http_has_opened() -> None:
    async with serving(create_app(Counter())) as url, client_of(url) as http:
        await http.post("/reset", json={"seed": 7})
        async with CounterEnv(url) as env:
            assert (await env.reset(seed=1)).observation.total == 1
            assert (await http.post("/step", json=add(1))).json()["observation"] == {"total": 2}


# ---- the other transport


async def test_a_session_of_a_websocket_goes_on_over_http_and_outlives_it() -> None:
    app = create_app(Counter, config=ServerConfig(grace_s=0.05))
    async with serving(app) as url, client_of(url) as http:
        env = CounterEnv(url)
        await env.reset(seed=10)
        named = {SESSION_HEADER: str(env.session_token)}
        first = await http.post("/step", json=add(1), headers=named)
        assert first.json()["observation"] == {"total": 11}
        assert (await env.step(Add(1))).observation.total == 12
        await env._session.link.aclose()
        await until(lambda: not app.state.registry.links)
        last = await http.post("/step", json=add(1), headers=named)
        assert last.json()["observation"] == {"total": 13}
        assert (await http.get("/state", headers=named)).json()["step_count"] == 3


async def test_a_session_of_http_goes_on_over_a_websocket() -> None:
    async with serving(create_app(Counter)) as url, client_of(url) as http:
        token = (await http.post("/sessions")).json()["session_id"]
        named = {SESSION_HEADER: token}
        await http.post("/reset", json={"seed": 20}, headers=named)
        async with CounterEnv(url) as env:
            await env.attach(token)
            assert (await env.step(Add(1))).observation.total == 21
            reply = await http.post("/step", json=add(1), headers=named)
            assert reply.json()["observation"] == {"total": 22}
        assert (await http.get("/state", headers=named)).status_code == 404
