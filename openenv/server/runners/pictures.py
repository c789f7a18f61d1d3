"""What an environment's `render()` returns, as something that a browser shows.

Arrays become PNG files, here and without a library: a picture a step needs no more. Runs where the
environment does, so that no picture holds up the server. Knows nothing of HTTP.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, NamedTuple

import msgspec

from openenv import arrays
from openenv.errors import Unsupported

PNG = "image/png"
SVG = "image/svg+xml"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": PNG,
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"Channels of a pixel -> the number that PNG has for them: grey, grey and alpha, RGB, RGBA."
_LEVEL = 3
"Of compression: further ones take much longer and save little."

_encode_json = msgspec.json.Encoder(enc_hook=arrays.enc_hook_json).encode


class Picture(NamedTuple):
    """A file's bytes and what they are."""

    media_type: str
    data: bytes


def picture_of(drawn: object) -> Picture:
    """Return what `render()` has returned as a file; the last one of a list of frames.

    Raises Unsupported for None, and for arrays that are no picture.
    """
    if isinstance(drawn, list | tuple) and drawn and _is_array(drawn[-1]):
        drawn = drawn[-1]
    if drawn is None:
        raise Unsupported("render() has returned nothing to show")
    if isinstance(drawn, str):
        is_svg = drawn.lstrip().startswith(("<svg", "<?xml"))
        return Picture(SVG if is_svg else TEXT, drawn.encode())
    if isinstance(drawn, bytes | bytearray | memoryview):
        return _recognised(bytes(drawn))
    if _is_array(drawn):
        return Picture(PNG, _png_of(arrays.as_ndarray(drawn)))
    # Pictures of Pillow, and figures of Matplotlib.
    save = getattr(drawn, "save", None) or getattr(drawn, "savefig", None)
    if callable(save):
        file = io.BytesIO()
        save(file, format="png")
        return Picture(PNG, file.getvalue())
    return Picture(JSON, _encode_json(drawn))


def png(width: int, height: int, channels: int, pixels: bytes) -> bytes:
    """Return the PNG file of 8-bit pixels: row by row, `channels` bytes each."""
    stride = width * channels
    # Before each row the number of its filter: none.
    rows = b"".join(
        b"\0" + pixels[start : start + stride] for start in range(0, height * stride, stride)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, _LEVEL)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_of(array: Any) -> bytes:
    dtype, shape = array.dtype, array.shape
    if dtype.kind == "b":
        # Truth values, and below numbers from 0 to 1: both become 0 to 255.
        array = array.astype("uint8") * 255
    elif dtype.kind == "f":
        array = (array.clip(0, 1) * 255).round().astype("uint8")
    channels = shape[2] if len(shape) == 3 else 1
    if array.dtype != "uint8" or len(shape) not in (2, 3) or channels not in _COLOUR_TYPES:
        raise Unsupported(
            f"render() has returned an array of {dtype} and shape {list(shape)}: a picture is "
            "height x width, or height x width x 1 to 4, of uint8, bool, or floats from 0 to 1"
        )
    height, width = shape[:2]
    if not height or not width:
        raise Unsupported("render() has returned an array without pixels")
    return png(width, height, channels, array.tobytes())


def _is_array(value: object) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _recognised(data: bytes) -> Picture:
    for signature, media_type in _SIGNATURES.items():
        if data.startswith(signature):
            return Picture(media_type, data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Picture("image/webp", data)
    return Picture("application/octet-stream", data)
