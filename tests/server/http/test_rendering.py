"""GET /render: what becomes of everything that an environment's render() may return."""

import asyncio
import struct
import zlib
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest

from openenv.errors import Unsupported
from openenv.server.http.sessions import SESSION_HEADER
from openenv.server.runners.pictures import picture_of
from tests.environments import Counter
from tests.server.asking import served
from tests.worker_environments import Drawing

RED_AND_BLUE = np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8)
PNG = b"\x89PNG\r\n\x1a\n"


def pixels_of(png: bytes) -> tuple[int, int, int, bytes]:
    """Width, height, colour type and unfiltered pixels, by PNG's own specification."""
    assert png.startswith(PNG)
    rest, data, head = png[len(PNG) :], b"", b""
    while rest:
        length, kind = struct.unpack(">I4s", rest[:8])
        content, checksum = rest[8 : 8 + length], rest[8 + length : 12 + length]
        assert zlib.crc32(kind + content) == struct.unpack(">I", checksum)[0]
        head = content if kind == b"IHDR" else head
        data += content if kind == b"IDAT" else b""
        rest = rest[12 + length :]
    width, height, depth, colour = struct.unpack(">IIBB", head[:10])
    assert depth == 8
    rows = zlib.decompress(data)
    stride = len(rows) // height
    assert all(rows[row * stride] == 0 for row in range(height))
    return (
        width,
        height,
        colour,
        b"".join(rows[row * stride + 1 : (row + 1) * stride] for row in range(height)),
    )


class AsyncDrawing(Drawing):
    async def render(self) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().render()

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return super().step(action)


class Anything(Drawing):
    drawn: ClassVar[Any] = None

    def render(self) -> Any:
        if isinstance(self.drawn, Exception):
            raise self.drawn
        return self.drawn


@pytest.mark.parametrize("execution", ["inline", "thread", "process"])
async def test_it_draws_wherever_the_environment_runs(execution: str) -> None:
    async with served(Drawing, execution=execution) as (http, _):
        await http.post("/reset")
        await http.post("/step", json={"action": {"brightness": 200}})
        picture = await http.get("/render")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert pixels_of(picture.content) == (2, 1, 0, bytes([0, 200]))


async def test_it_awaits_what_draws_asynchronously() -> None:
    async with served(AsyncDrawing) as (http, _):
        await http.post("/reset")
        assert pixels_of((await http.get("/render")).content)[3] == bytes(2)


async def test_it_draws_the_session_that_the_header_names() -> None:
    async with served(Drawing) as (http, registry):
        tokens = []
        for brightness in (10, 20):
            http.cookies.clear()
            await http.post("/reset")
            await http.post("/step", json={"action": {"brightness": brightness}})
            tokens.append(next(reversed(registry.sessions)))
        http.cookies.clear()
        drawn = [await http.get("/render", headers={SESSION_HEADER: token}) for token in tokens]
        unknown = await http.get("/render", headers={SESSION_HEADER: "nobody"})
    assert [pixels_of(one.content)[3][1] for one in drawn] == [10, 20]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "SESSION_NOT_FOUND")


async def test_an_environment_without_render_is_not_found() -> None:
    async with served(Counter) as (http, _):
        await http.post("/reset")
        reply = await http.get("/render")
    assert (reply.status_code, reply.json()["code"]) == (404, "UNSUPPORTED")
    assert "Counter" in reply.json()["message"]


async def test_there_is_nothing_to_draw_before_reset() -> None:
    async with served(Drawing) as (http, _):
        opened = await http.post("/sessions")
        named = {SESSION_HEADER: opened.json()["session_id"]}
        replies = [await http.get("/render"), await http.get("/render", headers=named)]
    assert [(one.status_code, one.json()["code"]) for one in replies] == [(409, "NOT_RESET")] * 2


async def drawn_by(drawn: Any, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    monkeypatch.setattr(Anything, "drawn", drawn)
    async with served(Anything) as (http, _):
        await http.post("/reset")
        return await http.get("/render")


async def test_a_picture_that_was_not_drawn_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = await drawn_by(None, monkeypatch)
    assert (reply.status_code, reply.json()["code"]) == (404, "UNSUPPORTED")


async def test_what_render_raises_is_told_like_any_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = await drawn_by(RuntimeError("no screen"), monkeypatch)
    assert (reply.status_code, reply.json()["code"]) == (500, "ENVIRONMENT_FAULT")
    assert "no screen" in reply.json()["message"]


async def test_a_picture_opened_as_a_page_runs_no_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = await drawn_by("<svg xmlns='http://www.w3.org/2000/svg'/>", monkeypatch)
    assert reply.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in reply.headers["content-security-policy"]


class Figure:
    """What Pillow's pictures and Matplotlib's figures have in common."""

    def savefig(self, file: Any, format: str) -> None:
        file.write(PNG + format.encode())


@pytest.mark.parametrize(
    ("drawn", "media_type", "data"),
    [
        ("@..\n..@", "text/plain; charset=utf-8", b"@..\n..@"),
        ('<?xml version="1.0"?><svg/>', "image/svg+xml", b'<?xml version="1.0"?><svg/>'),
        (PNG + b"...", "image/png", PNG + b"..."),
        (b"\xff\xd8\xff\xe0", "image/jpeg", b"\xff\xd8\xff\xe0"),
        (b"GIF89a", "image/gif", b"GIF89a"),
        (bytearray(b"RIFF\0\0\0\0WEBP"), "image/webp", b"RIFF\0\0\0\0WEBP"),
        (b"?", "application/octet-stream", b"?"),
        ({"x": [1, None]}, "application/json", b'{"x":[1,null]}'),
        (Figure(), "image/png", PNG + b"png"),
    ],
)
def test_what_is_no_array_stays_what_it_is(drawn: Any, media_type: str, data: bytes) -> None:
    assert picture_of(drawn) == (media_type, data)


@pytest.mark.parametrize(
    ("array", "colour", "pixels"),
    [
        (RED_AND_BLUE, 2, RED_AND_BLUE.tobytes()),
        (RED_AND_BLUE[:, ::-1], 2, bytes([0, 0, 255, 255, 0, 0])),
        (np.array([[[1, 2, 3, 4]]], dtype=np.uint8), 6, bytes([1, 2, 3, 4])),
        (np.array([[[7, 8]]], dtype=np.uint8), 4, bytes([7, 8])),
        (np.array([[[7]]], dtype=np.uint8), 0, bytes([7])),
        (np.array([[True, False]]), 0, bytes([255, 0])),
        (np.array([[0.0, 0.5, 7.0, -1.0]], dtype=np.float32), 0, bytes([0, 128, 255, 0])),
        ([np.zeros((1, 1), np.uint8), np.ones((1, 1), np.uint8)], 0, bytes([1])),
    ],
)
def test_arrays_become_png(array: Any, colour: int, pixels: bytes) -> None:
    media_type, data = picture_of(array)
    assert media_type == "image/png"
    assert pixels_of(data)[2:] == (colour, pixels)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.int64),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 2), np.uint8),
    ],
)
def test_an_array_that_is_no_picture_is_refused_by_its_shape(array: Any) -> None:
    with pytest.raises(Unsupported, match="array"):
        picture_of(array)
