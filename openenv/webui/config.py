"""What the page is told of the environment: /web/config.json.

Reads the class and its schemas and never makes an instance: who only looks takes no slot.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError
from openenv.manifest import Manifest, read_manifest
from openenv.server.http.bodies import respond
from openenv.server.http.description import folder_of, readme_of
from openenv.server.runners.queries import has
from openenv.webui.choices import buttons_of, is_chat, keys_of
from openenv.webui.files import HEADERS
from openenv.webui.options import reset_schema
from openenv.webui.quick_start import example_action, quick_start

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from openenv.server.runners.spec import EnvironmentSpec
    from openenv.server.sessions.registry import SessionRegistry

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


class Config:
    """The endpoint. What does not change is worked out once.

    Raises ConfigurationError for what the class says wrongly.
    """

    def __init__(self, registry: SessionRegistry, view: str | None) -> None:
        self.registry = registry
        self.view = view
        self._choices = _choices(registry.spec)

    async def serve(self, request: Request) -> Response:
        """Say what there is to play with."""
        registry, info = self.registry, self.registry.spec.info
        readme = (info and info.readme_content) or self._readme
        changing = {
            "quick_start": quick_start(_url_of(request), self._example),
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
        registry, spec = self.registry, self.registry.spec
        manifest = self._manifest
        return {
            "name": spec.name,
            "title": title_of(manifest, spec.name),
            "version": (manifest and manifest.version) or None,
            "action_schema": spec.replies.action.json_schema(),
            "observation_schema": spec.replies.observation.json_schema(),
            "state_schema": spec.replies.state.json_schema(),
            "is_chat": is_chat(spec.cls, spec.replies.observation.json_schema()),
            "watch": registry.config.watch,
            "view": self.view,
            "render": has(spec.cls, "render"),
            "replay": None,
            **self._choices,
        }

    @cached_property
    def _example(self) -> str:
        return example_action(self.registry.spec.replies.action.json_schema())

    @cached_property
    def _readme(self) -> str | None:
        return readme_of(self.registry.spec.cls)

    @cached_property
    def _manifest(self) -> Manifest | None:
        folder = folder_of(self.registry.spec.cls)
        try:
            return None if folder is None else read_manifest(folder)
        except ConfigurationError:
            # The page does without one, or without what is wrong with it.
            return None


def _choices(spec: EnvironmentSpec) -> dict[str, Any]:
    others = getattr(spec.cls, "web_options", None)
    try:
        options = reset_schema(
            spec.convention.reset_function, keeps_id=spec.convention.knows_episode, others=others
        )
    except (ConfigurationError, TypeError) as error:  # what reset itself takes never fails
        where = f"{spec.cls.__name__}.web_options"
        raise ConfigurationError(f"{where} must be a class of options: {error}") from error
    return {
        "reset_schema": options,
        "discrete_actions": buttons_of(spec.cls, spec.replies.action),
        "keys": keys_of(spec.cls, spec.replies.action),
    }


def _url_of(request: Request) -> str:
    """Return where the server is, as whoever asks sees it."""
    # A proxy in front speaks TLS and says so; what is only shown need not be sure of it.
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme).partition(",")[0]
    path = request.scope.get("root_path", "").rstrip("/")
    return f"{scheme}://{request.url.netloc}{path}"


def title_of(manifest: Manifest | None, name: str) -> str:
    """Return "OpenSpiel", of OpenSpielEnvironment; or of a manifest that calls it otherwise."""
    bare = re.sub(r"(?<=.)(Environment|Env)$", "", name)
    if manifest is not None and manifest.stem.replace("-", "") != bare.lower():
        return manifest.stem.replace("-", " ").capitalize()
    return bare
