"""WebSocket framing for the messages that matter: whole, unfragmented, complete in what was read.

Cuts these out of a socket's bytes and writes them; a tenth of what a general parser costs. All
else (control frames, fragments, frames that come in pieces or too large) is passed on, at exact
frame boundaries, to the websockets library, which keeps the protocol. Knows nothing of messages.
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


class FrameCutter:
    """The reading half, for one socket, beginning at a frame boundary.

    `take` gets whole messages, `pass_on` all other bytes, both in the order of arrival. Every byte
    from then on must come through `feed`, for only so are the boundaries known.
    """

    __slots__ = (
        "_foreign_bytes",
        "_is_fragmented",
        "_mask_bit",
        "_max_bytes",
        "_pass_on",
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
        self._is_fragmented = False
        "Whether a message in fragments is under way."

    def feed(self, data: bytes) -> None:
        """Take what was read from the socket."""
        if self._foreign_bytes:
            piece = data[: self._foreign_bytes]
            self._foreign_bytes -= len(piece)
            self._pass_on(piece)
            data = data[len(piece) :]
        elif self._rest:
            data, self._rest = self._rest + data, b""
        start, end = 0, len(data)
        while start < end:
            body, stop = _bounds(data, start, end)
            if stop == 0:
                self._rest = data[start:]
                return
            if stop > end or not self._is_plain(data, start, stop - body):
                self._pass_frame(data, start, stop)
                if data[start] == _CLOSE:
                    # Whatever comes after it is the closing handshake's affair.
                    self._pass_on(data[stop:])
                    return
            else:
                self._take_frame(data, start, body, stop)
            start = stop

    def finish(self, data: bytes) -> None:
        """Pass all on: the connection is closing."""
        rest, self._rest = self._rest, b""
        self._pass_on(rest + data)

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
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self._pass_on(data[start:stop])
        else:
            self._take(text)

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
    return body, body + size
