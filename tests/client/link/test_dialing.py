"""From a server's URL to a socket."""

import pytest

from openenv.address import http_url, unix_path, websocket_url
from openenv.client.link.dialing import dial
from openenv.errors import ConfigurationError, ConnectError


@pytest.mark.parametrize(
    ("url", "http", "websocket"),
    [
        ("http://host:8000", "http://host:8000", "ws://host:8000/ws"),
        ("https://host/", "https://host", "wss://host/ws"),
        ("ws://host:1/ws", "http://host:1/ws", "ws://host:1/ws"),
        ("wss://host/a/b/", "https://host/a/b", "wss://host/a/b/ws"),
        ("host:8000", "http://host:8000", "ws://host:8000/ws"),
        ("unix:/run/env.sock", "http://localhost", "ws://localhost/ws"),
    ],
)
def test_a_url_is_written_for_requests_and_for_sockets(url: str, http: str, websocket: str) -> None:
    assert (http_url(url), websocket_url(url)) == (http, websocket)


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "unix:"])
async def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    for read in (http_url, websocket_url):
        with pytest.raises(ConfigurationError):
            read(url)
    with pytest.raises(ConfigurationError):
        await dial(url, connect_timeout_s=1, max_message_bytes=1 << 20)


@pytest.mark.parametrize(
    ("url", "path"),
    [("unix:/run/env.sock", "/run/env.sock"), ("unix:///a", "/a"), ("http://host", None)],
)
def test_the_path_of_a_unix_socket_is_read(url: str, path: str | None) -> None:
    assert unix_path(url) == path


async def test_a_server_that_is_not_there_is_a_connect_error() -> None:
    with pytest.raises(ConnectError):
        await dial("http://127.0.0.1:9", connect_timeout_s=5, max_message_bytes=1 << 20)
