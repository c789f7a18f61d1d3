"""Wire: the two encodings of openenv.v1, chosen by WebSocket subprotocol.

Turns (acknowledgement, frames) into the bytes or text of one message and back. Knows nothing of
numbers (link.py) or of what frames mean (frames.py). A message is `[acknowledgement, [frame,
...]]`; one without frames only acknowledges.
"""

from __future__ import annotations

import json
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

import msgspec

from openenv import arrays
from openenv.errors import PayloadError, RemoteProtocolError, Unsupported
from openenv.protocol.frames import (
    MAX_ID,
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
    Frame,
    Malformed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import UnionType

    from openenv.arrays import Encoding
    from openenv.protocol.link import Data

UNREADABLE: Final = (ValueError, RecursionError, MemoryError, PayloadError)
"""What decoding raises for invalid data.

msgspec and Unicode raise ValueError, deep nesting RecursionError, a false size MemoryError, and an
array whose bytes do not fit its shape PayloadError."""


class Wire:
    """One encoding. Stateless: a single instance serves all connections that speak it."""

    def __init__(
        self,
        subprotocol: str,
        encoding: Encoding,
        encode: Callable[[Any], Data],
        make_decoder: Callable[..., Any],
        head_of: Callable[[Any], Sequence[Any]],
    ) -> None:
        self.subprotocol = subprotocol
        self.encoding: Encoding = encoding
        self.is_text = encoding == "json"
        self.encode = encode
        self.make_decoder = make_decoder
        self.head_of = head_of
        "Decode the first two elements of an array, whatever the others are."

    def decoder(
        self,
        frame_type: type | UnionType,
        malformed: Callable[[int, str, str], Any] = Malformed,
    ) -> MessageDecoder:
        """Return a decoder of messages that hold frames of this union.

        `malformed(id, message, code)` makes what stands in for a frame that cannot be decoded.
        """
        return MessageDecoder(self, frame_type, malformed)

    def decode_hello(self, data: Data, cls: type) -> Any:
        """Decode the first message of a socket. Raises RemoteProtocolError."""
        self.check_type(data)
        try:
            return FrameDecoder(self, cls).decode(data)
        except UNREADABLE as error:
            raise RemoteProtocolError(
                f"the first message must be a hello frame: {error}"
            ) from error

    def check_type(self, data: Data) -> None:
        """Raise RemoteProtocolError for text where bytes are due, and the reverse."""
        if (type(data) is str) is not self.is_text:
            due = "text" if self.is_text else "binary"
            raise RemoteProtocolError(f"{self.subprotocol} carries {due} messages only")


class MessageDecoder:
    """Decodes messages; only the frame that cannot be decoded becomes Malformed."""

    def __init__(
        self, wire: Wire, frame_type: Any, malformed: Callable[[int, str, str], Any]
    ) -> None:
        self._wire = wire
        self._is_text = wire.is_text
        self._malformed = malformed
        self._message = wire.make_decoder(tuple[int, list[frame_type]])
        self._envelope = wire.make_decoder(tuple[int, list[msgspec.Raw]])
        self._frame = FrameDecoder(wire, frame_type)
        self._tags = frozenset(_tags(frame_type))

    def decode(self, data: Data) -> tuple[int, Sequence[Any]]:
        """Return (acknowledgement, frames).

        Raises RemoteProtocolError when the message itself is broken.
        """
        if (type(data) is str) is not self._is_text:
            self._wire.check_type(data)
        try:
            message: tuple[int, list[Any]] = self._message.decode(data)
        except UNREADABLE:
            return self._decode_singly(data)
        return message

    def _decode_singly(self, data: Data) -> tuple[int, list[Any]]:
        try:
            acknowledgement, raws = self._split(data)
        except UNREADABLE as error:
            raise RemoteProtocolError(
                f"a message must be [acknowledgement, [frame, ...]]: {error}"
            ) from error
        return acknowledgement, [self._decode_frame(raw) for raw in raws]

    def _split(self, data: Data) -> tuple[int, Sequence[Any]]:
        try:
            message: tuple[int, list[Any]] = self._envelope.decode(data)
        except ValueError:
            if not self._is_text:
                raise
            # Half a surrogate pair and a bare NaN are invalid JSON, but common. Python's json
            # reads them, so that the other frames of the message can be handled.
            acknowledgement, frames = msgspec.convert(json.loads(data), tuple[int, list[Any]])
            return acknowledgement, [json.dumps(frame) for frame in frames]
        return message

    def _decode_frame(self, raw: Data) -> Any:
        try:
            return self._frame.decode(raw)
        except UNREADABLE as error:
            tag, request_id = self._guess_head(raw)
            if request_id and isinstance(tag, str) and tag not in self._tags:
                return self._malformed(request_id, f"{tag} is not supported", Unsupported.code)
            return self._malformed(request_id, str(error), RemoteProtocolError.code)

    def _guess_head(self, raw: Data) -> tuple[object, int]:
        """Return the first element, and the second if it can be a request id, else 0.

        With the id the error finds the request that it answers.
        """
        try:
            tag, second, *_ = self._wire.head_of(raw)
        except (*UNREADABLE, LookupError, TypeError):
            return None, 0
        return tag, second if type(second) is int and 0 < second <= MAX_ID else 0


class FrameDecoder:
    """Decodes one frame; in JSON also a frame with "NaN" or "Infinity" in a field of floats."""

    def __init__(self, wire: Wire, frame_type: type | UnionType) -> None:
        self._frame = wire.make_decoder(frame_type)
        self._parts = wire.make_decoder(list[msgspec.Raw])
        self._floats = _float_positions(frame_type) if wire.is_text else {}

    def decode(self, raw: Data) -> Any:
        """Return the frame. Raises UNREADABLE."""
        try:
            return self._frame.decode(raw)
        except msgspec.ValidationError:
            if not self._floats:
                raise
            return self._decode_spelled(raw)

    def _decode_spelled(self, raw: Data) -> Any:
        """Decode with a finite number of the same sign for each spelled one, then set the spelled.

        So the limits of the fields (not negative, for instance) hold for spelled numbers, too.
        """
        parts: list[Any] = self._parts.decode(raw)
        spelled: dict[str, float] = {}
        for position, name in self._floats.get(bytes(parts[0]) if parts else b"", ()):
            stand_in = _STAND_INS.get(bytes(parts[position])) if position < len(parts) else None
            if stand_in is not None:
                parts[position], spelled[name] = stand_in
        frame = self._frame.decode(b"[" + b",".join(parts) + b"]")
        for name, number in spelled.items():
            setattr(frame, name, number)
        return frame


_STAND_INS: Final = {
    b'"NaN"': (b"-1e308", math.nan),
    b'"Infinity"': (b"1e308", math.inf),
    b'"-Infinity"': (b"-1e308", -math.inf),
}


def _float_positions(frame_type: type | UnionType) -> dict[bytes, list[tuple[int, str]]]:
    """Return where the frames of a union have floats: JSON text of the tag -> (position, field)."""
    positions = {}
    for tag, cls in _tags(frame_type).items():
        hints = get_type_hints(cls, include_extras=True)
        positions[msgspec.json.encode(tag)] = [
            (position, name)
            for position, name in enumerate(cls.__struct_fields__, 1)
            if _takes_float(hints[name])
        ]
    return positions


def _tags(frame_type: type | UnionType) -> dict[str, Any]:
    """Return the frames of a union by their names."""
    return {cls.__struct_config__.tag: cls for cls in get_args(frame_type) or (frame_type,)}


def _takes_float(annotation: object) -> bool:
    return annotation is float or any(_takes_float(part) for part in get_args(annotation))


_msgpack_encoder = msgspec.msgpack.Encoder(enc_hook=arrays.enc_hook_msgpack)
_json_encoder = msgspec.json.Encoder(enc_hook=arrays.enc_hook_json)


def _encode_json(message: object) -> str:
    text = _json_encoder.encode(message)
    # msgspec writes NaN and infinities as null. Only a message with a null can hold one.
    if b"null" in text:
        text = _json_encoder.encode(_spell_non_finite(_json_builtins(message)))
    return text.decode()


def _json_builtins(message: object) -> object:
    return msgspec.to_builtins(message, enc_hook=_builtin_hook)


def _builtin_hook(obj: object) -> object:
    return msgspec.json.decode(obj) if isinstance(obj, msgspec.Raw) else arrays.enc_hook_json(obj)


def _spell_non_finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _spell_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spell_non_finite(item) for item in value]
    return value


_msgpack_parts = msgspec.msgpack.Decoder(list[msgspec.Raw])

MSGPACK = Wire(
    SUBPROTOCOL_MSGPACK,
    "msgpack",
    _msgpack_encoder.encode,
    partial(msgspec.msgpack.Decoder, ext_hook=arrays.decode_ext),
    lambda raw: [msgspec.msgpack.decode(part) for part in _msgpack_parts.decode(raw)[:2]],
)
JSON = Wire(
    SUBPROTOCOL_JSON,
    "json",
    _encode_json,
    msgspec.json.Decoder,
    lambda raw: json.loads(bytes(raw) if isinstance(raw, msgspec.Raw) else raw)[:2],
)
WIRES: dict[str, Wire] = {wire.subprotocol: wire for wire in (MSGPACK, JSON)}
"By subprotocol, best first."


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the first of our wires that the client offers; None means the legacy dialect."""
    return next((name for name in WIRES if name in offered), None)


__all__ = ["JSON", "MSGPACK", "WIRES", "Frame", "MessageDecoder", "Wire", "choose_subprotocol"]
