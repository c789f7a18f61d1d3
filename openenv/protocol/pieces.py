"""Pieces: a message whose large arrays lie in memory that both sides share.

Such a message is written as an array of its pieces: bytes, and where others lie. Joined they are
the message as it would have been without. Knows nothing of how memory is shared:
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
"The capability of a client that takes offers of a segment."

SEGMENT_NAME = "openenv"
"What the kernel calls the file of a segment. No folder has it."

NONCE_BYTES = 16
"What a segment begins with, so that no other one is taken for it."

Place = tuple[int, int]
"Where bytes lie in a segment: offset and size."

_PAIR: Final = b"\x92"
"How a message begins that is not in pieces: of those there is an odd number."

_pieces = msgspec.msgpack.Decoder(list[bytes | tuple[int, int]])


class PiecesWriter(Protocol):
    """Writes messages in pieces where that is worth it."""

    def encode(self, message: Any) -> tuple[Data, int]:
        """Return a message as it travels, and how many bytes it has when it is joined."""


class PiecesReader(Protocol):
    """Reads messages in pieces, and others."""

    def join(self, data: Data, limit_bytes: int) -> Data:
        """Return the message, its pieces joined. Raises RemoteProtocolError."""


def write(parts: Sequence[bytes], places: Sequence[Place]) -> bytes:
    """Return a message of bytes, with what lies at a place between each two."""
    between = chain.from_iterable(zip(parts, places, strict=False))
    return msgspec.msgpack.encode([*between, parts[-1]])


def join(data: Data, memory: memoryview, limit_bytes: int) -> Data:
    """Return a message whose pieces lie in this memory, in one; any other as it is.

    Raises RemoteProtocolError for pieces that are not there or are too much together.
    """
    if type(data) is not bytes or data[:1] == _PAIR:
        return data
    try:
        pieces = _pieces.decode(data)
    except UNREADABLE:
        return data  # whoever decodes it says what is wrong
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
