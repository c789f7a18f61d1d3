"""The endpoints that describe a server: /health, /metadata, /schema, /openapi.json and /docs.

Reads the registry and the environment's class; never a session. sessions.py plays episodes.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import FileResponse, Response
from starlette.routing import Route

from openenv.errors import OpenEnvError, from_wire
from openenv.protocol.frames import Close, Error, Open
from openenv.server.http.bodies import reply_encoding, respond, respond_error
from openenv.server.http.openapi import document
from openenv.server.http.origin import HttpOrigin

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from openenv.models import EnvironmentInfo
    from openenv.server.sessions.registry import SessionRegistry

PAGE = Path(__file__).parent / "static" / "docs.html"

# The page is a single file, and asks this server alone.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"
)


def description_routes(registry: SessionRegistry, *, with_episodes: bool = True) -> list[BaseRoute]:
    """Return the routes; without `with_episodes` the document leaves out reset, step and state."""
    description = Description(registry, with_episodes=with_episodes)
    return [
        Route("/health", description.health, methods=["GET"]),
        Route("/metadata", description.metadata, methods=["GET"]),
        Route("/schema", description.schema, methods=["GET"]),
        Route("/openapi.json", description.openapi, methods=["GET"]),
        Route("/docs", description.docs, methods=["GET"]),
    ]


class Description:
    """The endpoints. What does not change is computed at the first request and kept."""

    def __init__(self, registry: SessionRegistry, *, with_episodes: bool) -> None:
        self.registry = registry
        self.with_episodes = with_episodes

    async def health(self, request: Request) -> Response:
        """Return whether sessions can be opened: 503 if not. Does not start the registry."""
        registry = self.registry
        status = registry.health
        content: dict[str, Any] = {
            "status": status,
            "environment": registry.spec.name,
            "active_sessions": registry.active,
            "max_sessions": registry.max_sessions,
            "hung_threads": registry.hung_threads,
        }
        workers = registry.workers
        if workers is not None:
            content["workers"] = {
                "count": workers.count,
                "running": workers.running,
                "blocked": workers.blocked,
                "restarts": workers.restarts,
            }
        code = 503 if status == "unhealthy" else 200
        return respond(content, reply_encoding(request), code)

    async def metadata(self, request: Request) -> Response:
        """Return the environment's name, description and version."""
        encoding = reply_encoding(request)
        try:
            info = self.registry.spec.info or await self._examine()
        except OpenEnvError as error:
            return respond_error(error, encoding)
        return respond(self._with_readme(info), encoding)

    async def docs(self, _: Request) -> Response:
        """Return the page that shows the OpenAPI document."""
        return FileResponse(PAGE, headers={"content-security-policy": _PAGE_POLICY})

    async def schema(self, request: Request) -> Response:
        """Return the JSON schemas of actions, observations and states."""
        return respond(self.schemas, reply_encoding(request))

    async def openapi(self, request: Request) -> Response:
        """Return the OpenAPI document of every operation."""
        content = {**self._document, "servers": [{"url": request.scope.get("root_path") or "/"}]}
        return respond(content, "json")

    @cached_property
    def schemas(self) -> dict[str, dict[str, Any]]:
        """The JSON schemas of the payloads."""
        replies = self.registry.spec.replies
        return {
            "action": replies.action.json_schema(),
            "observation": replies.observation.json_schema(),
            "state": replies.state.json_schema(),
        }

    @cached_property
    def _document(self) -> dict[str, Any]:
        name = self.registry.spec.name
        return document(name, self.schemas, with_episodes=self.with_episodes)

    async def _examine(self) -> EnvironmentInfo:
        """Open a session for its instance's metadata, because no instance has been made yet."""
        registry = self.registry
        await registry.start()
        session, origin = registry.open("metadata"), HttpOrigin("json")
        session.open(Open(0, 0, registry.config.close_timeout_s), origin)
        reply = await origin.answer
        if type(reply) is Error:
            raise from_wire(reply.code, reply.message, reply.details)
        # Closed before the answer goes out: whoever reads it may want the only slot.
        closing = HttpOrigin("json")
        session.submit(Close(0, 0), closing)
        await closing.answer
        assert registry.spec.info is not None
        return registry.spec.info

    def _with_readme(self, info: EnvironmentInfo) -> EnvironmentInfo:
        if info.readme_content is not None or self._readme is None:
            return info
        return replace(info, readme_content=self._readme)

    @cached_property
    def _readme(self) -> str | None:
        return readme_of(self.registry.spec.cls)


def folder_of(cls: type) -> Path | None:
    """Return the folder of an environment's class; None if it comes from no file.

    In the usual layout the class lies in server/, beside the README and manifest of its
    environment.
    """
    try:
        folder = Path(inspect.getfile(cls)).parent
    except (OSError, TypeError):
        return None
    return folder.parent if folder.name == "server" else folder


def readme_of(cls: type) -> str | None:
    """Return the README in an environment's folder."""
    folder = folder_of(cls)
    try:
        return None if folder is None else (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
