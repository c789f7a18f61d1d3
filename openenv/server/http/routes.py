"""The routes of a session server: /ws and the HTTP fallback; and the lifespan of its registry."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, WebSocketRoute

from openenv.server.http.description import description_routes
from openenv.server.http.rendering import rendering_routes
from openenv.server.http.sessions import HttpSessions, http_routes
from openenv.server.links.connection import SessionEndpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette
    from starlette.types import Lifespan

    from openenv.server.sessions.registry import SessionRegistry


def session_routes(
    registry: SessionRegistry,
    *,
    with_episodes: bool = True,
    sessions: HttpSessions | None = None,
) -> list[BaseRoute]:
    """Return the routes over a registry; without `with_episodes` no HTTP request plays an episode.

    Pass `sessions` to share the HTTP sessions with routes of your own.
    """
    sessions = sessions or HttpSessions(registry)
    return [
        # An instance, not a function: Starlette then passes the raw ASGI calls on, which is a
        # quarter faster.
        WebSocketRoute("/ws", SessionEndpoint(registry)),
        *((*http_routes(sessions), *rendering_routes(sessions)) if with_episodes else ()),
        *description_routes(registry, with_episodes=with_episodes),
    ]


def registry_lifespan(registry: SessionRegistry) -> Lifespan[Starlette]:
    """Return a lifespan that starts and closes the registry, and puts it into `app.state`."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # serve.py reads it to drain the sessions before the server stops.
        app.state.registry = registry
        await registry.start()
        try:
            yield
        finally:
            await registry.aclose()

    return lifespan
