"""Pieces: a message whose large arrays lie in memory that both sides share.

Such a message is sent as an array of pieces: bytes, and the places of bytes in shared memory.
Joined, the pieces are the ordinary message. Knows nothing of how memory is shared:
server/links/segment.py writes it, client/link/segment.py reads it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from openenv.errors import RemoteProtocolError
from openenv.protocol.wire import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from openenv.protocol.link import Data

SHARED_MEMORY = "shared_memory"
"The capability of a client that can map a segment."

SEGMENT_NAME = "openenv"
"The name of a segment's file in the kernel; the file is in no folder (memfd_create)."

NONCE_BYTES = 16
"The length of the random bytes at a segment's beginning, by which the client recognises it."

Place = tuple[int, int]
"Where bytes lie in a segment: offset and size."

_PAIR: Final = b"\x92"
"The first byte of an ordinary message, an array of two. The number of pieces is always odd."

_pieces = msgspec.msgpack.Decoder(list[bytes | tuple[int, int]])


class PiecesWriter(Protocol):
    """Encodes messages, in pieces if they hold large arrays."""

    def encode(self, message: tuple[int, list[Any]]) -> tuple[Data, int]:
        """Return the encoded message, and its size in bytes when its pieces are joined."""


class PiecesReader(Protocol):
    """Joins messages in pieces; returns others unchanged."""

    def join(self, data: Data, limit_bytes: int) -> Data:
        """Return the message, its pieces joined. Raises RemoteProtocolError."""


def write(parts: Sequence[bytes], places: Sequence[Place]) -> bytes:
    """Return a message in pieces: between each two parts lie the bytes of a place."""
    between = chain.from_iterable(zip(parts, places, strict=False))
    return msgspec.msgpack.encode([*between, parts[-1]])


def join(data: Data, memory: memoryview, limit_bytes: int) -> Data:
    """Join the pieces of a message from this memory; return any other message unchanged.

    Raises RemoteProtocolError for pieces that are not there or are too much together.
    """
    if type(data) is not bytes or data[:1] == _PAIR:
        return data
    try:
        pieces = _pieces.decode(data)
    except UNREADABLE:
        return data  # the decoder of messages reports the error
    size = 0
    for index, piece in enumerate(pieces):
        if type(piece) is tuple:
            start, length = piece
            if start < 0 or length < 0 or start + length > len(memory):
                raise RemoteProtocolError(
                    f"a piece of {length} bytes at {start} of a segment of {len(memory)}"
                )
            pieces[index] = memory[start : start + length]  # type: ignore[call-overload]
        size += len(pieces[index])
    if size > limit_bytes:
        raise RemoteProtocolError(
            f"a message of {size} bytes in pieces, but at most {limit_bytes} are taken"
        )
    return b"".join(pieces)  # type: ignore[arg-type]  # no places are left
