"""Plain HTTP, as any program speaks it: what servers say of themselves, and episodes over it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from http.cookiejar import CookieJar
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from openenv.client.link.dialing import LOOPBACK, http_url, unix_path
from openenv.errors import ConfigurationError, ConnectError


class Reply(NamedTuple):
    """What a server answered; `body` is None unless it is JSON."""

    status: int
    body: Any


class HttpCaller:
    """Sends requests to one server, with the cookies that it gives."""

    def __init__(self, url: str, timeout_s: float) -> None:
        if unix_path(url) is not None:
            raise ConfigurationError("a server is validated by its http URL, not by its socket")
        self._base = http_url(url)
        self._timeout_s = timeout_s
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.HTTPCookieProcessor(CookieJar())
        ]
        if urlsplit(self._base).hostname in LOOPBACK:
            # A proxy for the outside must not be asked for servers on this machine.
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    async def request(self, method: str, path: str, body: Any = None) -> Reply:
        """Send a request and return the reply, whatever its status. Raises ConnectError."""
        return await asyncio.to_thread(self._request, method, path, body)

    def _request(self, method: str, path: str, body: Any) -> Reply:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._base}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as reply:
                return Reply(reply.status, _parsed(reply.read()))
        except HTTPError as error:
            with error:
                return Reply(error.code, _parsed(error.read()))
        except (URLError, TimeoutError, ConnectionError) as error:
            why = getattr(error, "reason", error)
            raise ConnectError(f"{method} {self._base}{path}: {why}") from error


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
