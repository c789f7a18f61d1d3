"""PNG files, read back by the format's own specification."""

import struct
import zlib

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
