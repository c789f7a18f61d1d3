"""The files of the page, and of the view that an environment brings, over HTTP.

Owns how they may be kept and what a browser lets them do. Knows nothing of sessions: what the page
is told of the environment is config.py's affair.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"

FRAMERS = "http://localhost:* http://127.0.0.1:* https://huggingface.co"
"Who else may show the page within their own: notebooks on this machine, and Spaces."

HEADERS = {
    # Nothing from other hosts, and nothing inline. What is drawn is made in the browser.
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        f"form-action 'none'; frame-ancestors 'self' {FRAMERS}"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

# Not asked of the system: its table is another on every machine, and scripts need the right type.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_COMPRESSED = ("text/", "image/svg", "application/json", "application/wasm")
_LEAST_BYTES = 1024
"Smaller files gain nothing by compression."


class Content(NamedTuple):
    """A file as it is sent."""

    data: bytes
    packed: bytes | None
    "The same, compressed; None if that would not help."
    tag: str


class Files:
    """Serves what lies in folders; the first that has a file wins."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [folder.resolve() for folder in folders]

    async def serve(self, request: Request) -> Response:
        """Send the file that the path names, or say that the browser's copy is still right."""
        path = self._find(request.path_params.get("path") or INDEX)
        media_type = _TYPES[path.suffix]
        stat = path.stat()
        content = _read(path, stat.st_mtime_ns, stat.st_size)
        # Names say nothing of what is in a file, so browsers ask each time; mostly for nothing.
        headers = {**HEADERS, "cache-control": "no-cache", "etag": content.tag}
        if content.packed is not None:
            headers["vary"] = "accept-encoding"
        if content.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if content.packed is not None and accepts_gzip(request.headers):
            headers["content-encoding"] = "gzip"
            return Response(content.packed, headers=headers, media_type=media_type)
        return Response(content.data, headers=headers, media_type=media_type)

    def _find(self, name: str) -> Path:
        for folder in self._folders:
            if (path := _file_in(folder, name)) is not None:
                return path
        if name == INDEX:
            raise HTTPException(500, f"the page has not been built: there is no {STATIC / INDEX}")
        raise HTTPException(404, f"there is no file {name!r}")


def _file_in(folder: Path, name: str) -> Path | None:
    """Return a file by its path in a folder: not one outside, and only what pages are made of."""
    try:
        path = (folder / name).resolve()
        is_its = path.is_relative_to(folder) and path.suffix in _TYPES and path.is_file()
    except (OSError, ValueError):
        # No file can be called that.
        return None
    return path if is_its else None


async def redirect(_: Request) -> Response:
    """Lead to the page, by a relative address: nobody knows below which path others see it."""
    return RedirectResponse("./web/", 307)


def accepts_gzip(headers: Mapping[str, str]) -> bool:
    """Whether a client takes compressed bodies."""
    offers = headers.get("accept-encoding", "").replace(" ", "").lower().split(",")
    return "gzip" in offers or any(
        offer.startswith("gzip;") and not offer.endswith(("q=0", "q=0.0")) for offer in offers
    )


@functools.lru_cache(maxsize=256)
def _read(path: Path, _mtime_ns: int, _size: int) -> Content:
    data = path.read_bytes()
    packed = None
    if len(data) >= _LEAST_BYTES and _TYPES[path.suffix].startswith(_COMPRESSED):
        packed = gzip.compress(data, mtime=0)
    return Content(data, packed, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
