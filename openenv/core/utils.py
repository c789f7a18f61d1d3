"""COMPATIBILITY ONLY: see openenv.client.blocking.portal and openenv.client.link.dialing."""

from collections.abc import Coroutine
from typing import Any

from openenv.address import http_url
from openenv.client.blocking import portal


def run_async_safely(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return portal.run(lambda: coroutine)


def convert_to_ws_url(url: str) -> str:
    return http_url(url).replace("http", "ws", 1)
