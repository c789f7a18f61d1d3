"""What users write for a server becomes the URL or the path that is connected to."""

import pytest

from openenv.address import http_url, is_loopback, unix_path, websocket_url
from openenv.errors import ConfigurationError


@pytest.mark.parametrize(
    ("written", "http", "websocket"),
    [
        ("http://host:1", "http://host:1", "ws://host:1/ws"),
        ("https://host/base/", "https://host/base", "wss://host/base/ws"),
        ("ws://host:1/ws", "http://host:1/ws", "ws://host:1/ws"),
        ("wss://host", "https://host", "wss://host/ws"),
        ("host:1", "http://host:1", "ws://host:1/ws"),
        ("[::1]:1", "http://[::1]:1", "ws://[::1]:1/ws"),
        ("http://host?x=1#y", "http://host", "ws://host/ws"),
        ("unix:/run/env.sock", "http://localhost", "ws://localhost/ws"),
    ],
)
def test_a_server_has_a_url_of_each_kind(written: str, http: str, websocket: str) -> None:
    assert http_url(written) == http
    assert websocket_url(written) == websocket


@pytest.mark.parametrize("written", ["", "ftp://host", "http://", "unix:", "unix://"])
def test_what_is_no_server_is_refused(written: str) -> None:
    for make_url in (http_url, websocket_url):
        with pytest.raises(ConfigurationError):
            make_url(written)


@pytest.mark.parametrize(
    ("written", "path"),
    [("unix:/a.sock", "/a.sock"), ("unix:///a.sock", "/a.sock"), ("http://host", None)],
)
def test_a_unix_socket_is_told_from_other_addresses(written: str, path: str | None) -> None:
    assert unix_path(written) == path


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://localhost:1", True),
        ("ws://127.0.0.1/ws", True),
        ("http://[::1]:1", True),
        ("http://LOCALHOST", True),
        ("http://localhost.example", False),
        ("https://10.0.0.1", False),
    ],
)
def test_this_machine_is_told_from_others(url: str, is_local: bool) -> None:
    assert is_loopback(url) is is_local
