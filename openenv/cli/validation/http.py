"""The requests of the checks: JSON over plain HTTP, from a thread."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from openenv.address import unix_path
from openenv.errors import ConfigurationError
from openenv.plain_http import HttpCaller

_HEADERS = {"Content-Type": "application/json"}


class Reply(NamedTuple):
    """What a server answered; `body` is None unless it is JSON."""

    status: int
    body: Any


class JsonCaller:
    """Sends requests to one server, with the cookies that the server sets."""

    def __init__(self, url: str, timeout_s: float) -> None:
        if unix_path(url) is not None:
            raise ConfigurationError("a server is validated by its http URL, not by its socket")
        self._http = HttpCaller(url, timeout_s)

    async def request(self, method: str, path: str, body: Any = None) -> Reply:
        """Send a request and return the reply, whatever its status. Raises ConnectError."""
        data = None if body is None else json.dumps(body).encode()
        reply = await asyncio.to_thread(self._http.request, method, path, data, _HEADERS)
        return Reply(reply.status, reply.json())
