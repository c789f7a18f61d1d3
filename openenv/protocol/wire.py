"""Wire: the two encodings of openenv.v1, chosen by WebSocket subprotocol.

Turns (acknowledgement, frames) into the bytes or text of one message and back. Knows nothing of
numbers (link.py) or of what frames mean (frames.py). A message is `[acknowledgement, [frame,
...]]`; one without frames only acknowledges.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from openenv import arrays
from openenv.errors import RemoteProtocolError
from openenv.protocol.frames import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, Frame, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openenv.arrays import Encoding
    from openenv.protocol.link import Data


class Wire:
    """One encoding. Stateless: a single instance serves all connections that speak it."""

    def __init__(
        self,
        subprotocol: str,
        encoding: Encoding,
        encode: Callable[[Any], Data],
        decoder_cls: Any,
        data_type: type[Data],
    ) -> None:
        self.subprotocol = subprotocol
        self.encoding: Encoding = encoding
        self.data_type = data_type
        self.encode = encode
        self._decoder_cls = decoder_cls
        self._envelope = decoder_cls(tuple[int, list[msgspec.Raw]])
        self._any = decoder_cls()

    def decoder(
        self, frame_type: Any, malformed: Callable[[int, str], Any] = Malformed
    ) -> MessageDecoder:
        """Return a decoder of messages that hold frames of this union.

        `malformed(id, message)` makes what stands in for a frame that cannot be decoded.
        """
        return MessageDecoder(self, frame_type, malformed)

    def typed(self, cls: Any) -> Any:
        """Return a decoder of one value of a class."""
        return self._decoder_cls(cls)

    def decode_hello(self, data: Data, cls: Any) -> Any:
        """Decode the first message of a socket. Raises RemoteProtocolError."""
        self.check_type(data)
        try:
            return self.typed(cls).decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RemoteProtocolError(
                f"the first message must be a hello frame: {error}"
            ) from error

    def check_type(self, data: Data) -> None:
        """Raise RemoteProtocolError for text where bytes are due, and the reverse."""
        if type(data) is not self.data_type:
            due = "binary" if self.data_type is bytes else "text"
            raise RemoteProtocolError(f"{self.subprotocol} carries {due} messages only")


class MessageDecoder:
    """Decodes messages; a frame that cannot be decoded becomes Malformed, alone."""

    def __init__(
        self, wire: Wire, frame_type: Any, malformed: Callable[[int, str], Any]
    ) -> None:
        self._wire = wire
        self._malformed = malformed
        self._message = wire.typed(tuple[int, list[frame_type]])
        self._frame = wire.typed(frame_type)

    def decode(self, data: Data) -> tuple[int, Sequence[Any]]:
        """Return (acknowledgement, frames).

        Raises RemoteProtocolError when the message itself is broken.
        """
        try:
            message: tuple[int, list[Any]] = self._message.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._decode_singly(data)
        return message

    def _decode_singly(self, data: Data) -> tuple[int, list[Any]]:
        self._wire.check_type(data)
        try:
            acknowledgement, raws = self._wire._envelope.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RemoteProtocolError(
                f"a message must be [acknowledgement, [frame, ...]]: {error}"
            ) from error
        return acknowledgement, [self._decode_frame(raw) for raw in raws]

    def _decode_frame(self, raw: msgspec.Raw) -> Any:
        try:
            return self._frame.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._malformed(self._guess_id(raw), str(error))

    def _guess_id(self, raw: msgspec.Raw) -> int:
        """Return the second element if it can be a request id: the error then finds its caller."""
        try:
            parts = self._wire._any.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return 0
        if isinstance(parts, list) and len(parts) > 1 and type(parts[1]) is int and parts[1] > 0:
            return parts[1]
        return 0


_msgpack_encoder = msgspec.msgpack.Encoder(enc_hook=arrays.enc_hook_msgpack)
_json_encoder = msgspec.json.Encoder(enc_hook=arrays.enc_hook_json)


def _encode_json(message: Any) -> str:
    text = _json_encoder.encode(message)
    # msgspec writes NaN and infinities as null, without a word; only a message with a null can hold
    # one.
    if b"null" in text:
        text = _json_encoder.encode(_spell_non_finite(_json_builtins(message)))
    return text.decode()


def _json_builtins(message: Any) -> Any:
    return msgspec.to_builtins(message, enc_hook=arrays.enc_hook_json)


def _spell_non_finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _spell_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spell_non_finite(item) for item in value]
    return value


MSGPACK = Wire(
    SUBPROTOCOL_MSGPACK, "msgpack", _msgpack_encoder.encode, msgspec.msgpack.Decoder, bytes
)
JSON = Wire(SUBPROTOCOL_JSON, "json", _encode_json, msgspec.json.Decoder, str)
WIRES: dict[str, Wire] = {wire.subprotocol: wire for wire in (MSGPACK, JSON)}
"By subprotocol, best first."


def choose_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the first of our wires that the client offers; None means the legacy dialect."""
    return next((name for name in WIRES if name in offered), None)


__all__ = ["JSON", "MSGPACK", "WIRES", "Frame", "MessageDecoder", "Wire", "choose_subprotocol"]
