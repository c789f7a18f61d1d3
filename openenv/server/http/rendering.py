"""GET /render: the picture that an environment's `render()` returns for a session's episode.

sessions.py finds the session; runners/pictures.py turns arrays and strings into pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from openenv.errors import Unsupported
from openenv.protocol.frames import Error
from openenv.server.http.bodies import respond_error
from openenv.server.http.sessions import answering
from openenv.server.runners.pictures import Picture
from openenv.server.runners.queries import EnvironmentQuery, has

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from openenv.server.http.sessions import Exchange, HttpSessions

_NOT_FOUND = 404

_HEADERS = {
    "cache-control": "no-store",
    # A picture may be SVG, which may hold scripts: opened as a page of its own, it runs none.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "x-content-type-options": "nosniff",
}


def rendering_routes(sessions: HttpSessions) -> list[BaseRoute]:
    """Return the route; `sessions` finds the session of a request."""
    return [Route("/render", Rendering(sessions).render, methods=["GET"])]


class Rendering:
    """The endpoint."""

    def __init__(self, sessions: HttpSessions) -> None:
        self.sessions = sessions
        self.registry = sessions.registry

    @answering
    async def render(self, exchange: Exchange) -> Response:
        """Return the picture of the session's episode; 404 if the environment has none."""
        spec = self.registry.spec
        if not has(spec.cls, "render"):
            return _nothing(f"{spec.name} has no method render()", exchange)
        session = self.sessions.find(exchange.request)
        reply = await self.sessions.ask(session, EnvironmentQuery(0, 0, "render"), exchange)
        if type(reply) is Error and reply.code == Unsupported.code:
            return _nothing(reply.message, exchange)
        if type(reply) is Error:
            return exchange.respond(reply)
        picture = Picture(**reply.state)
        return Response(picture.data, media_type=picture.media_type, headers=_HEADERS)


def _nothing(reason: str, exchange: Exchange) -> Response:
    """Return a 404: this picture does not exist, although the server does serve pictures."""
    response = respond_error(Unsupported(reason), exchange.encoding)
    response.status_code = _NOT_FOUND
    return response
