"""The page over a recording: episodes to look at, without an environment to play."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.routing import Route

from openenv import recording
from openenv.errors import ConfigurationError
from openenv.recording.lines import read_lines
from openenv.server.http.bodies import respond, respond_http_exception
from openenv.webui.files import HEADERS, STATIC, Files, redirect

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

RECORDING = "/web/recording.jsonl"


def replay_app(file: Path, static: Path = STATIC) -> Starlette:
    """Return an ASGI app that shows a recording.

    It is read anew whenever the page asks, so that one that still grows may be shown. Raises
    ConfigurationError if there is none or nothing in it, PayloadError if it is no recording.
    """
    if not file.is_file():
        raise ConfigurationError(f"there is no recording {file}")
    if next(recording.read(file), None) is None:
        raise ConfigurationError(f"no episode has ended in {file}")
    replay = Replay(file)
    return Starlette(
        routes=[
            Route("/", redirect),
            Route("/web", redirect),
            Route("/web/config.json", replay.config),
            Route(RECORDING, replay.episodes),
            Route("/web/{path:path}", Files([static]).serve),
        ],
        exception_handlers={HTTPException: respond_http_exception},
    )


class Replay:
    """The endpoints."""

    def __init__(self, file: Path) -> None:
        self.file = file

    async def config(self, _: Request) -> Response:
        """Say that there is a recording, and nothing to play with."""
        content: dict[str, Any] = {
            "name": self.file.name,
            "title": self.file.name,
            **dict.fromkeys(("version", "readme", "quick_start", "view", "capacity")),
            **dict.fromkeys(("discrete_actions", "keys")),
            **dict.fromkeys(("is_chat", "watch", "render"), False),
            "replay": RECORDING,
        }
        for name in ("action", "observation", "state", "reset"):
            content[f"{name}_schema"] = {}
        response = respond(content, "json")
        response.headers.update({**HEADERS, "cache-control": "no-store"})
        return response

    async def episodes(self, _: Request) -> Response:
        """Send the recording's lines, whatever it is compressed with."""
        headers = {**HEADERS, "cache-control": "no-store"}
        return StreamingResponse(
            read_lines(self.file), headers=headers, media_type="application/x-ndjson"
        )
