"""Addresses of servers: from what a user writes to http, ws and Unix domain sockets.

Knows nothing of requests. plain_http.py and client/link/dialing.py connect to what is named here.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from openenv.errors import ConfigurationError

LOOPBACK = "127.0.0.1"
"Where servers listen unless they are told otherwise."

LOOPBACK_HOSTS = ("localhost", LOOPBACK, "::1")

DEFAULT_PORT = 8000
MAX_PORT = 65_535

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def unix_path(url: str) -> str | None:
    """Return the path of the Unix domain socket that a URL like `unix:/run/openenv.sock` names."""
    return url.removeprefix("unix:").removeprefix("//") if url.startswith("unix:") else None


def is_loopback(url: str) -> bool:
    """Whether a URL with a scheme names this machine: then no proxy must be asked for it."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS


def http_url(url: str) -> str:
    """Return the base URL of a server as http(s), without a trailing slash.

    Behind a Unix domain socket every server is localhost. Raises ConfigurationError.
    """
    scheme, host, path = _split(url)
    return urlunsplit(({"ws": "http", "wss": "https"}[scheme], host, path, "", ""))


def websocket_url(url: str) -> str:
    """Return the URL of a server's session endpoint.

    A bare host is ws. Raises ConfigurationError.
    """
    scheme, host, path = _split(url)
    return urlunsplit((scheme, host, path if path.endswith("/ws") else f"{path}/ws", "", ""))


def _split(url: str) -> tuple[str, str, str]:
    path = unix_path(url)
    if path is not None:
        if not path:
            raise ConfigurationError(f"{url!r} names no socket: write it like unix:/run/env.sock")
        return "ws", "localhost", ""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ConfigurationError(
            f"{url!r} is not the URL of a server: write it like http://127.0.0.1:8000"
        )
    return scheme, parts.netloc, parts.path.rstrip("/")
