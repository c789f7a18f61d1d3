"""Requests reach one server, over TCP or a Unix domain socket, and its replies come back whole."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from openenv.errors import ConnectError
from openenv.plain_http import HttpCaller
from openenv.providers.health import health_status


class Handler(BaseHTTPRequestHandler):
    """Answers by path; remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    requests: list[tuple[str, str, bytes, dict[str, str]]]

    def address_string(self) -> str:
        return "a client"

    def log_message(self, *_: object) -> None: ...

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        request = (self.command, self.path, self.rfile.read(length), dict(self.headers))
        self.requests.append(request)
        if self.path == "/broken":
            self.wfile.write(b"HTTP/nonsense\r\n\r\n")
            self.close_connection = True
            return
        if self.path == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            self.close_connection = True
            return
        statuses = {"/missing": 404, "/moved": 302, "/moved/health": 302}
        self.send_response(statuses.get(self.path, 200))
        if "moved" in self.path:
            self.send_header("Location", "/json")
        self.send_header("Set-Cookie", "session=7")
        body = b"no json" if self.path == "/missing" else b'{"is": "json"}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer


class UnixServer(socketserver.ThreadingUnixStreamServer):
    """With threads that are waited for."""

    daemon_threads = False


class TcpServer(socketserver.ThreadingTCPServer):
    """With threads that are waited for."""

    daemon_threads = False


@contextmanager
def serving(unix: Path | None = None) -> Iterator[tuple[str, type[Handler]]]:
    class OwnHandler(Handler):
        requests = []  # noqa: RUF012 - of this server alone

    server = UnixServer(str(unix), OwnHandler) if unix else TcpServer(("127.0.0.1", 0), OwnHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"unix:{unix}" if unix else f"http://127.0.0.1:{server.server_address[1]}", OwnHandler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("is_unix", [False, True])
def test_a_request_arrives_and_its_reply_comes_back(tmp_path: Path, is_unix: bool) -> None:
    with serving(tmp_path / "s" if is_unix else None) as (url, handler):
        reply = HttpCaller(url, 10).request("POST", "/json", b"body", {"X-Own": "1"})
    assert (reply.status, reply.json()) == (200, {"is": "json"})
    [(method, path, body, headers)] = handler.requests
    assert (method, path, body, headers["X-Own"]) == ("POST", "/json", b"body", "1")


def test_a_refusal_is_a_reply() -> None:
    with serving() as (url, _):
        reply = HttpCaller(url, 10).request("GET", "/missing")
    assert (reply.status, reply.data, reply.json()) == (404, b"no json", None)


def test_cookies_are_kept_for_the_next_request() -> None:
    with serving() as (url, handler):
        caller = HttpCaller(url, 10)
        for _ in range(2):
            caller.request("GET", "/json")
    assert ["Cookie" in headers for *_, headers in handler.requests] == [False, True]


def test_a_direct_caller_does_not_follow_a_redirect() -> None:
    with serving() as (url, handler):
        assert HttpCaller(url, 10).request("GET", "/moved").status == 200
        assert HttpCaller(url, 10, direct=True).request("GET", "/moved").status == 302
        assert health_status(f"{url}/moved") == 302
    assert [path for _, path, *_ in handler.requests] == [
        *("/moved", "/json"),
        "/moved",
        "/moved/health",
    ]


@pytest.mark.parametrize("direct", [False, True])
def test_no_proxy_is_asked_for_this_machine(direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with serving() as (url, _):
        assert HttpCaller(url, 10, direct=direct).request("GET", "/json").status == 200


def test_only_a_direct_caller_asks_no_proxy_for_other_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving() as (proxy, handler):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        assert HttpCaller("http://host.invalid", 10).request("GET", "/json").status == 200
        assert handler.requests[0][1] == "http://host.invalid/json"
        with pytest.raises(ConnectError):
            HttpCaller("http://host.invalid", 10, direct=True).request("GET", "/json")


@pytest.mark.parametrize("path", ["/broken", "/cut"])
def test_what_is_no_whole_reply_is_a_connect_error(path: str) -> None:
    with serving() as (url, _), pytest.raises(ConnectError):
        HttpCaller(url, 10).request("GET", path)


def test_a_server_that_is_not_there_is_a_connect_error_and_not_healthy(tmp_path: Path) -> None:
    for url in (f"unix:{tmp_path}/none", "http://127.0.0.1:9"):
        with pytest.raises(ConnectError):
            HttpCaller(url, 10).request("GET", "/json")
        assert health_status(url) is None


def test_a_server_that_answers_is_healthy_whatever_its_address(tmp_path: Path) -> None:
    with serving(tmp_path / "s") as (url, _):
        assert health_status(url) == 200
    with serving() as (url, _):
        assert health_status(url.replace("http:", "ws:")) == 200
