"""What the page is told of the environment: /web/config.json.

Reads the class and its schemas and never makes an instance: who only looks takes no slot.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError
from openenv.manifest import Manifest, read_manifest
from openenv.server.bodies import respond
from openenv.server.description import folder_of, readme_of
from openenv.webui.files import HEADERS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from openenv.server.registry import SessionRegistry

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+|[a-z]+|\d+")


class Config:
    """The endpoint. What does not change is worked out once, when it is first asked for."""

    def __init__(self, registry: SessionRegistry, view: str | None) -> None:
        self.registry = registry
        self.view = view

    async def serve(self, request: Request) -> Response:
        """Say what there is to play with."""
        registry, info = self.registry, self.registry.calls.info
        readme = (info and info.readme_content) or self._readme
        changing = {
            "readme": readme and _FRONT_MATTER.sub("", readme).strip(),
            "capacity": {
                "active_sessions": registry.active,
                "max_sessions": registry.max_sessions,
            },
        }
        response = respond({**self._fixed, **changing}, "json")
        response.headers.update({**HEADERS, "cache-control": "no-store"})
        return response

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        registry, calls = self.registry, self.registry.calls
        manifest = self._manifest
        return {
            "name": calls.name,
            "title": _title(manifest, calls.name),
            "version": (manifest and manifest.version) or None,
            "action_schema": calls.action.json_schema(),
            "observation_schema": calls.observation.json_schema(),
            "state_schema": calls.state.json_schema(),
            "watch": registry.config.watch,
            "view": self.view,
            "replay": None,
        }

    @cached_property
    def _readme(self) -> str | None:
        return readme_of(self.registry.calls.cls)

    @cached_property
    def _manifest(self) -> Manifest | None:
        folder = folder_of(self.registry.calls.cls)
        try:
            return None if folder is None else read_manifest(folder)
        except ConfigurationError:
            # The page does without one, or without what is wrong with it.
            return None


def _title(manifest: Manifest | None, name: str) -> str:
    """Return "Echo" of the manifest's name echo_env, or of the class EchoEnvironment."""
    words = [manifest.stem.replace("-", " ")] if manifest is not None else _WORDS.findall(name)
    if len(words) > 1 and words[-1] in ("Environment", "Env"):
        words.pop()
    return " ".join(words).capitalize() if manifest is not None else " ".join(words) or name
