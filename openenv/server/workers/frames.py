"""The messages between a server and its worker processes: batches of frames over a socketpair.

The frames are those of the protocol, but two fields mean something else: `id` is the number of the
environment in the worker, `session` is the number of the client's payload format (`FORMATS`).
Payloads cross as the bytes that the client sent or will receive. Knows nothing of processes:
process.py is the server's end of the socketpair, program.py the worker's.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from openenv.models import EnvironmentInfo  # noqa: TC001 - decoded at run time
from openenv.protocol.frames import ClientFrame, Frame, Reset, ServerFrame
from openenv.protocol.wire import MSGPACK
from openenv.server.runners.queries import EnvironmentQuery
from openenv.server.workers.blueprint import Blueprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openenv.arrays import Encoding
    from openenv.server.ports import Origin

_LENGTH = struct.Struct("<Q")

COALESCED_BYTES = 64 * 1024
"Up to this size a message is copied behind its length: one copy is cheaper than a second write."


class PayloadFormat(NamedTuple):
    """How a client encodes actions, and in which form it receives observations and states."""

    encoding: Encoding
    "The encoding of the client's actions."
    payloads: Literal["msgpack", "json", "legacy", "values"]
    """The form of observations and states: bytes in this encoding, or plain values, which the HTTP
    endpoints encode as each request asks for."""


FORMATS = {
    1: PayloadFormat("msgpack", "msgpack"),
    2: PayloadFormat("json", "json"),
    3: PayloadFormat("json", "legacy"),
    4: PayloadFormat("msgpack", "values"),
    5: PayloadFormat("json", "values"),
}
_NUMBERS = {manner: number for number, manner in FORMATS.items()}


def format_of(origin: Origin) -> int:
    """Return the number of an origin's manner."""
    if origin.is_lenient:
        return 3
    if getattr(origin, "is_native", False):  # only links have this attribute
        return 1 if origin.encoding == "msgpack" else 2
    return 4 if origin.encoding == "msgpack" else 5


class Setup(msgspec.Struct):
    """The first message to a worker: what it imports and serves."""

    path: list[str]
    "The server's sys.path, which the worker takes over."
    blueprint: Blueprint
    log_level: int


class ResetNamed(Reset, tag="begin"):
    """A Reset with the episode id to use if the client gave none."""

    name: str = ""


class Ready(Frame, tag="ready"):
    """The worker has imported what it serves."""


class Described(Frame, tag="described"):
    """The description of the first environment that the worker made."""

    info: EnvironmentInfo


_requests = MSGPACK.decoder(ClientFrame | ResetNamed | EnvironmentQuery)
_replies = MSGPACK.decoder(ServerFrame | Ready | Described)


def decode_requests(message: Any) -> Sequence[Any]:
    """Return the frames of a message to a worker."""
    return _requests.decode(message)[1]


def decode_replies(message: Any) -> Sequence[Any]:
    """Return the frames of a message from a worker; Malformed for a frame that cannot be read."""
    return _replies.decode(message)[1]


def encode(frames: list[Any]) -> bytes:
    """Return the frames as one message."""
    return MSGPACK.encode((0, frames))  # type: ignore[return-value]  # msgpack is bytes


def parts_of(message: bytes) -> list[bytes]:
    """Return the buffers to write for a message: its length, then the message."""
    length = _LENGTH.pack(len(message))
    return [length + message] if len(message) <= COALESCED_BYTES else [length, message]


class MessageReader:
    """Splits a stream of bytes into messages, by the length in front of each."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """Yield the messages that are complete now.

        They are views of bytes that nobody changes, so the caller may keep them.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed(self._rest, 0):
                return
            data, self._rest = bytes(self._rest), bytearray()
        start, end = 0, self._needed(data, 0)
        view = memoryview(data)
        while end <= len(data):
            yield view[start + _LENGTH.size : end]
            start, end = end, end + self._needed(data, end)
        self._rest += view[start:]

    @staticmethod
    def _needed(data: bytes | bytearray, start: int) -> int:
        """Return the size of the message at `start`, its length prefix included.

        The size of the prefix, if that is not complete.
        """
        if len(data) - start < _LENGTH.size:
            return _LENGTH.size
        length: int = _LENGTH.unpack_from(data, start)[0]
        return _LENGTH.size + length
