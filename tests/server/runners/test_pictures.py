"""What becomes of everything that an environment's render() may return."""

from typing import Any

import numpy as np
import pytest

from openenv.errors import Unsupported
from openenv.server.runners.pictures import picture_of, png
from tests.server.png import PNG, pixels_of

RED_AND_BLUE = np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8)


class Figure:
    """What Pillow's pictures and Matplotlib's figures have in common."""

    def savefig(self, file: Any, format: str) -> None:
        file.write(PNG + format.encode())


@pytest.mark.parametrize(
    ("drawn", "media_type", "data"),
    [
        ("@..\n..@", "text/plain; charset=utf-8", b"@..\n..@"),
        (" <svg/>", "image/svg+xml", b" <svg/>"),
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


def test_nothing_is_no_picture() -> None:
    with pytest.raises(Unsupported):
        picture_of(None)


def test_a_list_without_arrays_stays_data() -> None:
    assert picture_of([1, 2]).media_type == "application/json"
    assert picture_of([]).data == b"[]"


def test_rows_keep_their_order() -> None:
    assert pixels_of(png(2, 3, 1, bytes(range(6)))) == (2, 3, 0, bytes(range(6)))
