"""The routes of the session server, /ws and the HTTP fallback, and what bounds their life."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.routing import BaseRoute, WebSocketRoute

from openenv.server.http.description import description_routes
from openenv.server.http.rendering import rendering_routes
from openenv.server.http.sessions import HttpSessions, http_routes
from openenv.server.links.connection import SessionEndpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openenv.server.sessions.registry import SessionRegistry


def session_routes(
    registry: SessionRegistry,
    *,
    with_episodes: bool = True,
    sessions: HttpSessions | None = None,
) -> list[BaseRoute]:
    """Return the routes over a registry; without `with_episodes` no HTTP request plays one.

    `sessions` are those of HTTP, for whoever has more routes to them.
    """
    sessions = sessions or HttpSessions(registry)
    return [
        # An instance, not a function: Starlette then hands the raw ASGI calls through, which is a
        # quarter faster.
        WebSocketRoute("/ws", SessionEndpoint(registry)),
        *((*http_routes(sessions), *rendering_routes(sessions)) if with_episodes else ()),
        *description_routes(registry, with_episodes=with_episodes),
    ]


def registry_lifespan(registry: SessionRegistry) -> Any:
    """Return a lifespan in which the registry hosts sessions, and is the app's `state.registry`."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        # Here whoever serves the app finds what is to be drained.
        app.state.registry = registry
        await registry.start()
        try:
            yield
        finally:
            await registry.aclose()

    return lifespan
