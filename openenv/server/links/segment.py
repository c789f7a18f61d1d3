"""Segment: memory that a client on the same host reads large arrays from, instead of a socket.

Owns the memory and the positions of arrays in it. Knows nothing of sockets; protocol/server.py
offers the segment to the client, and protocol/pieces.py defines the form of a message whose arrays
lie in it.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Any

import msgspec

from openenv import arrays
from openenv.protocol import pieces
from openenv.protocol.frames import SegmentOffer

if TYPE_CHECKING:
    from openenv.protocol.link import Data, Link
    from openenv.protocol.pieces import Place

if sys.platform == "linux":
    import fcntl

logger = logging.getLogger("openenv.server")

ARRAY_MIN_BYTES = arrays.VIEW_MIN_BYTES
"Smaller arrays travel as bytes: even at 100 kB the gain is small (docs/topics/performance.md)."

_ALIGNMENT_BYTES = 64  # a cache line: the nonce is in the first, and each array starts a new one
_EXT_HEADER = Struct(">BIb")
_EXT_32 = 0xC9  # MessagePack's `ext 32`: an extension whose size is a field of four bytes
_EXT_16_BYTES = b"\xd8"  # MessagePack's `fixext 16`: an extension of 16 bytes


class Ring:
    """The parts of a segment that are in use, as a ring buffer.

    Parts are reserved, and acknowledged, in the order of the messages that they belong to.
    """

    __slots__ = ("_end", "_start", "_taken")

    def __init__(self, start: int, end: int) -> None:
        self._start = start
        self._end = end
        self._taken: deque[tuple[int, int, int]] = deque()
        "(number of the message, start, end), oldest first."

    def take(self, size: int, number: int) -> int | None:
        """Reserve `size` bytes for the message of this number; return the offset, None if full.

        Prefers low offsets: the kernel allocates a page of the segment at the first write to it.
        """
        taken = self._taken
        if not taken:
            start, end = self._start, self._end
        elif taken[-1][1] < taken[0][1]:  # wrapped: the newest part is below the oldest
            start, end = taken[-1][2], taken[0][1]
        elif self._start + size <= taken[0][1]:
            start, end = self._start, taken[0][1]
        else:
            start, end = taken[-1][2], self._end
        if start + size > end:
            return None
        taken.append((number, start, start + size))
        return start

    def release(self, acknowledged: int, sent: int) -> None:
        """Free the parts of messages that were acknowledged, or encoded but never sent."""
        taken = self._taken
        while taken and taken[0][0] <= acknowledged:
            taken.popleft()
        while taken and taken[-1][0] > sent:
            taken.pop()


class Segment:
    """One per link, for messages to a client that has mapped it. Close it with the link.

    The arrays of a message stay until the client has acknowledged the message, so that it can be
    sent again after a lost connection. An array for which there is no room travels as bytes.
    """

    def __init__(self, link: Link, descriptor: int, size_bytes: int) -> None:
        self._link = link
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._nonce = secrets.token_bytes(pieces.NONCE_BYTES)
        self._ring = Ring(_ALIGNMENT_BYTES, size_bytes)
        self._encode = msgspec.msgpack.Encoder(enc_hook=self._place).encode
        self._mark = secrets.token_bytes(16)
        "A placeholder for each array in the segment; the encoded message is split at it."
        self._cut = bytes((*_EXT_16_BYTES, arrays.EXT_CODE)) + self._mark
        self._headers: list[bytes] = []
        self._places: list[Place] = []
        os.pwrite(descriptor, self._nonce, 0)

    @property
    def offer(self) -> SegmentOffer:
        """The frame that tells the client where to find the segment."""
        return SegmentOffer(os.getpid(), self._descriptor, self._size_bytes, self._nonce)

    def encode(self, message: tuple[int, list[Any]]) -> tuple[Data, int]:
        """Return the message as it is sent, and its size with the arrays joined into it."""
        self._ring.release(self._link.acknowledged, self._link.sent)
        self._headers, self._places = [], []
        data = self._encode(message)
        if not self._places:
            return data, len(data)
        first, *rest = data.split(self._cut)
        parts = [first]
        for header, part in zip(self._headers, rest, strict=True):
            parts[-1] += header
            parts.append(part)
        size = sum(map(len, parts)) + sum(size for _, size in self._places)
        return pieces.write(parts, self._places), size

    def close(self) -> None:
        """Close our end; the kernel frees the memory when the client has unmapped it, too."""
        os.close(self._descriptor)
        # The encoder's hook refers to this object: break the cycle, which only a collection frees.
        del self._encode

    def _place(self, obj: Any) -> Any:
        """Encode an object that msgspec does not know; put a large array into the segment."""
        if getattr(obj, "nbytes", 0) < ARRAY_MIN_BYTES or not hasattr(type(obj), "__array__"):
            return arrays.enc_hook_msgpack(obj)
        header, elements = arrays.take_apart(obj)
        size = memoryview(elements).nbytes
        start = self._ring.take(
            -(-size // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES, self._link.sent + 1
        )
        if start is None or not self._write(elements, start, size):
            return arrays.enc_hook_msgpack(obj)
        self._headers.append(
            _EXT_HEADER.pack(_EXT_32, len(header) + size, arrays.EXT_CODE) + header
        )
        self._places.append((start, size))
        return msgspec.msgpack.Ext(arrays.EXT_CODE, self._mark)

    def _write(self, elements: Any, start: int, size: int) -> bool:
        """Write into the segment; return False if the host has no memory left.

        Uses pwrite, which raises OSError then. A write through a mapping would raise SIGBUS, which
        ends the process.
        """
        try:
            return os.pwrite(self._descriptor, elements, start) == size
        except OSError as error:
            logger.info("an array travels as bytes: shared memory has no room: %s", error)
            return False


def make_segment(link: Link, size_bytes: int) -> Segment | None:
    """Make memory that only processes of this user can open; None where that is not possible.

    It is an anonymous file (memfd): the kernel frees it when all processes that have it open are
    gone, even after SIGKILL. Seals forbid changing its size, so no client's mapping is cut off.
    """
    if sys.platform != "linux":
        return None
    try:
        descriptor = os.memfd_create(pieces.SEGMENT_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, size_bytes)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            return Segment(link, descriptor, size_bytes)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        logger.info("large arrays travel as bytes: there is no memory to share: %s", error)
        return None
