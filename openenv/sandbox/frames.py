"""What a sandbox and its process say to each other: JSON behind its length, on a stream.

Never pickle: whatever comes out of the sandbox may have been written by what runs in it.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

HEAD = struct.Struct(">I")


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as bytes."""
    body = json.dumps(message).encode("ascii")
    return HEAD.pack(len(body)) + body


def decode(body: bytes) -> dict[str, Any]:
    """Return the message of a body. Raises ValueError for anything else."""
    try:
        message = json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message


def write(fd: int, message: dict[str, Any]) -> None:
    """Write a message to a descriptor that blocks."""
    rest = memoryview(encode(message))
    while rest:
        rest = rest[os.write(fd, rest) :]


def read(fd: int) -> dict[str, Any] | None:
    """Read a message from a descriptor that blocks; None at the end."""
    head = _read_exactly(fd, HEAD.size)
    body = head and _read_exactly(fd, HEAD.unpack(head)[0])
    return decode(body) if body else None


def _read_exactly(fd: int, size: int) -> bytes:
    """Return so many bytes, or none at the end."""
    pieces = bytearray()
    while len(pieces) < size:
        piece = os.read(fd, min(size - len(pieces), 1 << 20))
        if not piece:
            return b""
        pieces += piece
    return bytes(pieces)
