"""WebSocket framing for plain messages: those in one frame that is not too large.

Reads and writes these at a tenth of a general parser's cost. All other frames (control frames,
fragments, too large ones) go unchanged, at exact frame boundaries, to the websockets library, which
implements the rest of the protocol. Does not know what a message contains.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import TYPE_CHECKING

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without its C extension
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.channel import Data

_TEXT, _BINARY, _CLOSE = 0x81, 0x82, 0x88
_FIN, _OPCODE, _MASKED, _LENGTH = 0x80, 0x0F, 0x80, 0x7F
_CONTROL = 0x08
_U16_HEADER, _U64_HEADER = Struct("!BBH"), Struct("!BBQ")
_JOINED_BYTES = 65536
"Up to this size a message is copied behind its header: one copy is cheaper than a second write."
_SMALL_PIECE_BYTES = 4096
"Smaller pieces of a message are joined, because an object for each could take more memory."


def header(data: Data, payload: bytes, mask_bit: int = 0) -> bytes:
    """Return the header of a message's only frame."""
    first = _BINARY if type(data) is bytes else _TEXT
    size = len(payload)
    if size < 126:
        return bytes((first, mask_bit | size))
    if size < 65536:
        return _U16_HEADER.pack(first, mask_bit | 126, size)
    return _U64_HEADER.pack(first, mask_bit | 127, size)


def server_frames(data: Data) -> tuple[bytes, ...]:
    """Return the buffers a server writes for one message: two if it is too large to copy."""
    payload = data if type(data) is bytes else data.encode()  # type: ignore[union-attr]
    if len(payload) <= _JOINED_BYTES:
        return (header(data, payload) + payload,)
    return header(data, payload), payload


def client_frames(data: Data) -> tuple[bytes, ...]:
    """Return the buffers a client writes for one message, masked as RFC 6455 demands."""
    payload = data if type(data) is bytes else data.encode()  # type: ignore[union-attr]
    mask = os.urandom(4)
    masked = apply_mask(payload, mask)
    if len(payload) <= _JOINED_BYTES:
        return (header(data, payload, _MASKED) + mask + masked,)
    return header(data, payload, _MASKED) + mask, masked


class WebSocketFrameReader:
    """Reads the frames of one socket, from a frame boundary on.

    Calls `take` with each plain message and `pass_on` with all other bytes, in order of arrival.
    `feed` must get every byte of the socket, because it finds a frame by the end of the one before.
    """

    __slots__ = (
        "_foreign_bytes",
        "_header",
        "_is_fragmented",
        "_mask_bit",
        "_max_bytes",
        "_missing_bytes",
        "_pass_on",
        "_pieces",
        "_rest",
        "_take",
    )

    def __init__(
        self,
        take: Callable[[Data], None],
        pass_on: Callable[[bytes], None],
        *,
        is_server: bool,
        max_bytes: int,
    ) -> None:
        self._take = take
        self._pass_on = pass_on
        self._mask_bit = _MASKED if is_server else 0
        self._max_bytes = max_bytes
        self._rest = b""
        "The bytes of an incomplete header."
        self._foreign_bytes = 0
        "How many bytes are missing of the frame that is being passed on."
        self._header = b""
        "The header of an incomplete plain message."
        self._pieces: list[bytes | bytearray | memoryview] = []
        "The payload of that message so far."
        self._missing_bytes = 0
        "How many bytes of its payload are missing."
        self._is_fragmented = False
        "Whether the last data frame was a fragment with more to follow."

    def feed(self, data: bytes) -> None:
        """Process bytes that were read from the socket."""
        if self._foreign_bytes:
            piece = data[: self._foreign_bytes]
            self._foreign_bytes -= len(piece)
            self._pass_on(piece)
            data = data[len(piece) :]
        elif self._missing_bytes:
            data = self._go_on(data)
        elif self._rest:
            data, self._rest = self._rest + data, b""
        start, end = 0, len(data)
        while start < end:
            body, stop = _bounds(data, start, end)
            if stop == 0:
                self._rest = data[start:]
                return
            if not self._is_plain(data, start, stop - body):
                self._pass_frame(data, start, stop)
                if data[start] == _CLOSE:
                    # No message may follow a close frame; websockets judges the bytes after it.
                    self._pass_on(data[stop:])
                    return
            elif stop > end:
                self._header, self._missing_bytes = data[start:body], stop - end
                self._add_piece(memoryview(data)[body:])
                return
            else:
                self._take_frame(data, start, body, stop)
            start = stop

    def finish(self, data: bytes) -> None:
        """Pass on the incomplete frame and `data`: the connection is closing."""
        begun, self._rest = (self._rest, self._header, *self._pieces), b""
        self._header, self._pieces, self._missing_bytes = b"", [], 0
        self._pass_on(b"".join((*begun, data)))

    def _is_plain(self, data: bytes, start: int, size: int) -> bool:
        return (
            data[start] in (_TEXT, _BINARY)
            and data[start + 1] & _MASKED == self._mask_bit
            and size <= self._max_bytes
            and not self._is_fragmented
        )

    def _take_frame(self, data: bytes, start: int, body: int, stop: int) -> None:
        payload = data[body:stop]
        if self._mask_bit:
            payload = apply_mask(payload, data[body - 4 : body])
        if data[start] == _BINARY:
            self._take(payload)
        else:
            self._take_text(payload, data[start:body])

    def _take_text(self, payload: bytes, header: bytes) -> None:
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            masked = apply_mask(payload, header[-4:]) if self._mask_bit else payload
            self._pass_on(header + masked)
        else:
            self._take(text)

    def _go_on(self, data: bytes) -> bytes:
        """Add to the incomplete message; return the bytes after its end."""
        missing = self._missing_bytes
        self._add_piece(data[:missing])
        self._missing_bytes = max(0, missing - len(data))
        if self._missing_bytes:
            return b""
        header, pieces = self._header, self._pieces
        self._header, self._pieces = b"", []
        payload = b"".join(pieces)
        if self._mask_bit:
            payload = apply_mask(payload, header[-4:])
        if header[0] == _BINARY:
            self._take(payload)
        else:
            self._take_text(payload, header)
        return data[missing:]

    def _add_piece(self, piece: bytes | memoryview) -> None:
        pieces = self._pieces
        if len(piece) >= _SMALL_PIECE_BYTES:
            pieces.append(piece)
        elif pieces and isinstance(last := pieces[-1], bytearray):
            last += piece
        else:
            pieces.append(bytearray(piece))

    def _pass_frame(self, data: bytes, start: int, stop: int) -> None:
        piece = data[start:stop]
        self._foreign_bytes = stop - start - len(piece)
        if not data[start] & _CONTROL:
            self._is_fragmented = not data[start] & _FIN
        self._pass_on(piece)


def _bounds(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where a frame's payload starts and stops; (0, 0) if its header is incomplete."""
    body = start + 2
    if body > end:
        return 0, 0
    second = data[start + 1]
    size = second & _LENGTH
    if size >= 126:
        width = 2 if size == 126 else 8
        if body + width > end:
            return 0, 0
        size = int.from_bytes(data[body : body + width])
        body += width
    if second & _MASKED:
        body += 4
        if body > end:
            return 0, 0
    return body, body + size
