"""The routes of the page: its files, what it is told, and those that existing tools call.

The page itself plays over /ws, as any client does.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Route

from openenv.server.http.description import Description
from openenv.webui.config import Config
from openenv.webui.files import STATIC, Files, redirect
from openenv.webui.visitors import Visitors

if TYPE_CHECKING:
    from openenv.server.http.sessions import HttpSessions

VIEW = "view.js"


def web_routes(sessions: HttpSessions, static: Path = STATIC) -> list[BaseRoute]:
    """Return the routes over the sessions of HTTP; `static` holds the page as it was built."""
    registry = sessions.registry
    views = _views_of(registry.spec.cls)
    config = Config(registry, view=f"/web/{VIEW}" if views else None)
    files = Files([static, *views])
    return [
        Route("/", redirect),
        Route("/web", redirect),
        Route("/web/config.json", config.serve),
        Route("/web/metadata", Description(registry, with_episodes=True).metadata),
        *Visitors(sessions).routes,
        Route("/web/{path:path}", files.serve),
    ]


def _views_of(cls: type) -> list[Path]:
    """Return the folder in which an environment has a view of its own, if it has one."""
    try:
        folder = Path(inspect.getfile(cls)).parent / "web"
    except (OSError, TypeError):
        # The class comes from no file.
        return []
    # Without a view the folder is somebody else's, and none of its files are sent.
    return [folder] if (folder / VIEW).is_file() else []
