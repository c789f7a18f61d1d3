"""WebSocket framing for the messages that matter: whole, unfragmented, and not too large.

Cuts these out of a socket's bytes and writes them; a tenth of what a general parser costs. All
else (control frames, fragments, what is too large) is passed on, at exact frame boundaries, to the
websockets library, which keeps the protocol. Knows nothing of messages.
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
"Up to here copying a message behind its header is cheaper than a second write."
_SMALL_PIECE_BYTES = 4096
"Below this a piece of a message is copied to the one before: as an object it may take more memory."


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
    """Return what a server writes for one message: one piece, or two where copying would cost."""
    payload = data if type(data) is bytes else data.encode()  # type: ignore[union-attr]
    if len(payload) <= _JOINED_BYTES:
        return (header(data, payload) + payload,)
    return header(data, payload), payload


def client_frames(data: Data) -> tuple[bytes, ...]:
    """Return what a client writes for one message: masked."""
    payload = data if type(data) is bytes else data.encode()  # type: ignore[union-attr]
    mask = os.urandom(4)
    masked = apply_mask(payload, mask)
    if len(payload) <= _JOINED_BYTES:
        return (header(data, payload, _MASKED) + mask + masked,)
    return header(data, payload, _MASKED) + mask, masked


class WebSocketFrameReader:
    """The reading half, for one socket, beginning at a frame boundary.

    `take` gets whole messages, `pass_on` all other bytes, both in the order of arrival. Every byte
    from then on must come through `feed`, for only so are the boundaries known.
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
        "The beginning of a header."
        self._foreign_bytes = 0
        "What is still to come of a frame that was passed on."
        self._header = b""
        "That of a whole message of which only the beginning has come."
        self._pieces: list[bytes | bytearray | memoryview] = []
        "What has come of it behind the header."
        self._missing_bytes = 0
        "What has not."
        self._is_fragmented = False
        "Whether a message in fragments is under way."

    def feed(self, data: bytes) -> None:
        """Take what was read from the socket."""
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
                    # Whatever comes after it is the closing handshake's affair.
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
        """Pass all on: the connection is closing."""
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
        """Add to the message that has begun; return what comes after it."""
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
    """Return where a frame's payload begins and where it stops; (0, 0) if that is not known."""
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
