"""Blocking HTTP requests to one server, over TCP or a Unix domain socket.

On the standard library alone, for questions beside an episode: health, schemas, validation. Knows
nothing of sessions; client/http plays episodes over HTTP, with the extra `http`.
"""

from __future__ import annotations

import json
import socket
import urllib.request
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.error import HTTPError, URLError

from openenv.address import http_url, is_loopback, unix_path
from openenv.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Mapping


class HttpReply(NamedTuple):
    """What a server answered."""

    status: int
    data: bytes

    def json(self) -> Any:
        """Return the body as plain data; None if it is not JSON."""
        try:
            return json.loads(self.data)
        except ValueError:
            return None


class HttpCaller:
    """Sends requests to one server, with the cookies that the server sets.

    A direct caller uses no proxy and follows no redirect: only the server itself can answer.
    """

    def __init__(self, url: str, timeout_s: float, *, direct: bool = False) -> None:
        self.base_url = http_url(url)
        self._timeout_s = timeout_s
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.HTTPCookieProcessor(CookieJar())
        ]
        if direct:
            handlers.append(_NoRedirects())
        if direct or is_loopback(self.base_url):
            # A proxy for other networks cannot reach servers on this machine.
            handlers.append(urllib.request.ProxyHandler({}))
        if socket_path := unix_path(url):
            handlers.append(_UnixHandler(socket_path))
        self._opener = urllib.request.build_opener(*handlers)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Send a request and return the reply, whatever its status. Raises ConnectError."""
        url = f"{self.base_url}{path}"
        request = urllib.request.Request(url, body, dict(headers or {}), method=method)
        try:
            try:
                with self._opener.open(request, timeout=self._timeout_s) as reply:
                    return HttpReply(reply.status, reply.read())
            except HTTPError as error:
                with error:
                    return HttpReply(error.code, error.read())
        except (URLError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise ConnectError(f"{method} {url}: {reason}") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirect the reply."""

    def redirect_request(self, *_: Any) -> None:
        return None


class _UnixHandler(urllib.request.HTTPHandler):
    """Sends requests to a Unix domain socket, whatever host their URL names."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(_UnixConnection, self._path), request)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, host: str, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
