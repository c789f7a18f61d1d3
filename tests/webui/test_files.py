"""The files of the page: how they are sent, and which are not."""

import os
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from openenv.server.config import ServerConfig
from openenv.server.host import make_registry
from openenv.server.http.bodies import respond_http_exception
from openenv.server.http.sessions import HttpSessions
from openenv.webui.routes import web_routes
from tests.environments import Counter
from tests.server.asking import served

SCRIPT = "export const answer = 42;\n" * 100


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page as small as can be, and beside it what is nobody's business."""
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html><title>Small</title>")
    (static / "assets" / "page.js").write_text(SCRIPT)
    (static / "assets" / "notes.py").write_text("SECRET = 1")
    (tmp_path / "secret.txt").write_text("secret")
    (static / "link.txt").symlink_to(tmp_path / "secret.txt")
    return static


def client(static: Path, prefix: str = "") -> httpx.AsyncClient:
    routes = web_routes(HttpSessions(make_registry(Counter)), static)
    handlers = {HTTPException: respond_http_exception}
    app = Starlette(
        routes=[Mount(prefix, routes=routes)] if prefix else routes, exception_handlers=handlers
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")


async def test_there_is_no_page_unless_it_is_asked_for() -> None:
    async with served(Counter) as (http, _):
        for path in ("/", "/web", "/web/", "/web/config.json", "/web/state"):
            assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize("value", ["true", "1", "yes", "True"])
async def test_a_variable_asks_for_it_when_the_app_is_made(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENABLE_WEB_INTERFACE", value)
    async with served(Counter) as (http, _):
        assert (await http.get("/web/")).status_code == 200
    async with served(Counter, web=False) as (http, _):
        assert (await http.get("/web/")).status_code == 404


@pytest.mark.parametrize(
    ("variables", "is_on"),
    [
        ({"ENABLE_WEB_INTERFACE": "false"}, False),
        ({"OPENENV_WEB": "true"}, True),
        ({"OPENENV_WEB": "false", "ENABLE_WEB_INTERFACE": "true"}, False),
        ({}, False),
    ],
)
def test_our_own_variable_comes_first(variables: dict[str, str], is_on: bool) -> None:
    assert ServerConfig.from_env(variables).web is is_on


@pytest.mark.parametrize("prefix", ["", "/somewhere/else"])
async def test_the_root_leads_to_the_page_wherever_it_is_mounted(page: Path, prefix: str) -> None:
    async with client(page, prefix) as http:
        for path in ("/", "/web"):
            reply = await http.get(f"{prefix}{path}")
            assert reply.status_code == 307
            assert str(reply.next_request and reply.next_request.url) == f"http://here{prefix}/web/"
        assert "Small" in (await http.get(f"{prefix}/web/")).text


async def test_pages_may_do_nothing_but_ask_their_own_server(page: Path) -> None:
    async with client(page) as http:
        for path in ("/web/", "/web/assets/page.js", "/web/config.json"):
            headers = (await http.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "unsafe-inline" not in policy
            # A Space of Hugging Face shows the page within its own.
            assert "frame-ancestors 'self' " in policy
            assert policy.endswith(" https://huggingface.co")
            assert headers["x-content-type-options"] == "nosniff"


async def test_a_browser_asks_again_and_gets_only_what_has_changed(page: Path) -> None:
    async with client(page) as http:
        first = await http.get("/web/assets/page.js")
        assert first.headers["content-type"] == "text/javascript; charset=utf-8"
        assert first.headers["cache-control"] == "no-cache"
        known = {"if-none-match": first.headers["etag"]}
        again = await http.get("/web/assets/page.js", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        # Of the same size and age, as the files of two wheels are.
        script = page / "assets" / "page.js"
        times = (script.stat().st_atime_ns, script.stat().st_mtime_ns + 1)
        script.write_text(SCRIPT.replace("42", "43"))
        os.utime(script, ns=times)
        changed = await http.get("/web/assets/page.js", headers=known)
        assert (changed.status_code, changed.text) == (200, SCRIPT.replace("42", "43"))


async def test_what_gains_by_it_is_sent_compressed_to_whoever_takes_that(page: Path) -> None:
    async with client(page) as http:
        packed = await http.get(
            "/web/assets/page.js", headers={"accept-encoding": "br, gzip;q=0.8"}
        )
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "accept-encoding"
        assert (packed.text, int(packed.headers["content-length"])) == (
            SCRIPT,
            packed.num_bytes_downloaded,
        )
        assert packed.num_bytes_downloaded < len(SCRIPT) / 5
        for offer in ("identity", "gzip;q=0", ""):
            plain = await http.get("/web/assets/page.js", headers={"accept-encoding": offer})
            assert ("content-encoding" in plain.headers, plain.text) == (False, SCRIPT)
        small = await http.get("/web/", headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in small.headers


@pytest.mark.parametrize(
    "path",
    [
        *("missing.js", "assets", "assets/notes.py", "../secret.txt", "%2e%2e/secret.txt"),
        *("assets/..%2f..%2fsecret.txt", "link.txt", "%00.js", "/etc/hostname", "x" * 5000),
    ],
)
async def test_no_other_file_is_sent(page: Path, path: str) -> None:
    async with client(page) as http:
        reply = await http.get(f"/web/{path}")
    assert reply.status_code == 404
    assert "secret" not in reply.text.replace("secret.txt", "")


async def test_a_page_that_was_not_built_says_so(tmp_path: Path) -> None:
    async with client(tmp_path) as http:
        reply = await http.get("/web/")
    assert reply.status_code == 500
    assert "not been built" in reply.json()["message"]


async def test_the_page_that_is_shipped_names_its_files_relatively() -> None:
    async with served(Counter, web=True) as (http, _):
        page = (await http.get("/web/")).text
        assert 'src="/' not in page
        assert "http://" not in page
        assert "https://" not in page
