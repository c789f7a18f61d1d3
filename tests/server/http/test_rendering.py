"""GET /render: whose picture it is, and what is told if there is none.

What becomes of everything that render() may return, runners/test_pictures.py tests.
"""

import asyncio
from typing import Any, ClassVar

import httpx
import pytest

from openenv.server.http.sessions import SESSION_HEADER
from tests.environments import Counter
from tests.server.asking import served
from tests.server.png import pixels_of
from tests.worker_environments import Drawing


class AsyncDrawing(Drawing):
    async def render(self) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().render()

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return super().step(action)


class Anything(Drawing):
    drawn: ClassVar[Any] = None

    def render(self) -> Any:
        if isinstance(self.drawn, Exception):
            raise self.drawn
        return self.drawn


@pytest.mark.parametrize("execution", ["inline", "thread", "process"])
async def test_it_draws_wherever_the_environment_runs(execution: str) -> None:
    async with served(Drawing, execution=execution) as (http, _):
        await http.post("/reset")
        await http.post("/step", json={"action": {"brightness": 200}})
        picture = await http.get("/render")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert pixels_of(picture.content) == (2, 1, 0, bytes([0, 200]))


async def test_it_awaits_what_draws_asynchronously() -> None:
    async with served(AsyncDrawing) as (http, _):
        await http.post("/reset")
        assert pixels_of((await http.get("/render")).content)[3] == bytes(2)


async def test_it_draws_the_session_that_the_header_names() -> None:
    async with served(Drawing) as (http, registry):
        tokens = []
        for brightness in (10, 20):
            http.cookies.clear()
            await http.post("/reset")
            await http.post("/step", json={"action": {"brightness": brightness}})
            tokens.append(next(reversed(registry.sessions)))
        http.cookies.clear()
        drawn = [await http.get("/render", headers={SESSION_HEADER: token}) for token in tokens]
        unknown = await http.get("/render", headers={SESSION_HEADER: "nobody"})
    assert [pixels_of(one.content)[3][1] for one in drawn] == [10, 20]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "SESSION_NOT_FOUND")


async def test_an_environment_without_render_is_not_found() -> None:
    async with served(Counter) as (http, _):
        await http.post("/reset")
        reply = await http.get("/render")
    assert (reply.status_code, reply.json()["code"]) == (404, "UNSUPPORTED")
    assert "Counter" in reply.json()["message"]


async def test_there_is_nothing_to_draw_before_reset() -> None:
    async with served(Drawing) as (http, _):
        opened = await http.post("/sessions")
        named = {SESSION_HEADER: opened.json()["session_id"]}
        replies = [await http.get("/render"), await http.get("/render", headers=named)]
    assert [(one.status_code, one.json()["code"]) for one in replies] == [(409, "NOT_RESET")] * 2


async def drawn_by(drawn: Any, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    monkeypatch.setattr(Anything, "drawn", drawn)
    async with served(Anything) as (http, _):
        await http.post("/reset")
        return await http.get("/render")


async def test_a_picture_that_was_not_drawn_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = await drawn_by(None, monkeypatch)
    assert (reply.status_code, reply.json()["code"]) == (404, "UNSUPPORTED")


async def test_what_render_raises_is_told_like_any_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = await drawn_by(RuntimeError("no screen"), monkeypatch)
    assert (reply.status_code, reply.json()["code"]) == (500, "ENVIRONMENT_FAULT")
    assert "no screen" in reply.json()["message"]


async def test_a_picture_opened_as_a_page_runs_no_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = await drawn_by("<svg xmlns='http://www.w3.org/2000/svg'/>", monkeypatch)
    assert reply.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in reply.headers["content-security-policy"]
