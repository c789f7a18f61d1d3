"""Does a server answer? GET /health over TCP or a Unix domain socket, past any proxy.

Blocking, and on the standard library alone: it is called from threads, before there is a client.
"""

from __future__ import annotations

import socket
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE_TIMEOUT_S = 2.0


def health_status(
    base_url: str, timeout_s: float = PROBE_TIMEOUT_S, headers: Mapping[str, str] | None = None
) -> int | None:
    """Return the HTTP status of a server's /health; None if nobody answers in HTTP."""
    connection, path = _connection(base_url, timeout_s)
    try:
        connection.request("GET", f"{path}/health", headers=dict(headers or {}))
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _connection(base_url: str, timeout_s: float) -> tuple[HTTPConnection, str]:
    if base_url.startswith("unix:"):
        return _UnixConnection(base_url.removeprefix("unix:").removeprefix("//"), timeout_s), ""
    parts = urlsplit(base_url)
    kind = HTTPSConnection if parts.scheme in ("https", "wss") else HTTPConnection
    return kind(parts.netloc, timeout=timeout_s), parts.path.rstrip("/")


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
