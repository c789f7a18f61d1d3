"""The health check: GET /health over TCP or a Unix domain socket, never through a proxy.

Blocking: providers call it from threads, before there is a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openenv.errors import ConnectError
from openenv.plain_http import HttpCaller

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE_TIMEOUT_S = 2.0


def health_status(
    base_url: str, timeout_s: float = PROBE_TIMEOUT_S, headers: Mapping[str, str] | None = None
) -> int | None:
    """Return the HTTP status of a server's /health; None if no HTTP server answers."""
    caller = HttpCaller(base_url, timeout_s, direct=True)
    try:
        return caller.request("GET", "/health", headers=headers).status
    except ConnectError:
        return None
