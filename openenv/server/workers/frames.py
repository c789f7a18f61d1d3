"""What a server and its worker processes say to each other: frames in batches, over a socketpair.

The frames are those of the protocol with other numbers in them: `id` says which environment of the
worker is meant, `session` in which manner the client speaks. Payloads cross as the bytes that
the client has sent, and will get. Knows nothing of processes; who says what, when, is the affair of
workers.py and worker.py.
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
"Up to this size a message is copied behind its length, which is cheaper than to write twice."


class PayloadFormat(NamedTuple):
    """How a client wants to be spoken to."""

    encoding: Encoding
    "Of its actions."
    payloads: Literal["msgpack", "json", "legacy", "values"]
    "Of what it gets: bytes of this kind, or values, which HTTP encodes as each request wants it."


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
    if getattr(origin, "is_native", False):  # of all origins, links alone have it
        return 1 if origin.encoding == "msgpack" else 2
    return 4 if origin.encoding == "msgpack" else 5


class Setup(msgspec.Struct):
    """The first message to a worker: what it serves, and how."""

    path: list[str]
    "sys.path"
    blueprint: Blueprint
    log_level: int


class ResetNamed(Reset, tag="begin"):
    """Reset, with the name that the episode gets if the client gives it none."""

    name: str = ""


class Ready(Frame, tag="ready"):
    """The worker has imported what it serves."""


class Described(Frame, tag="described"):
    """What the first environment says of itself."""

    info: EnvironmentInfo


_requests = MSGPACK.decoder(ClientFrame | ResetNamed | EnvironmentQuery)
_replies = MSGPACK.decoder(ServerFrame | Ready | Described)


def decode_requests(message: Any) -> Sequence[Any]:
    """Return the frames of a message to a worker."""
    return _requests.decode(message)[1]


def decode_replies(message: Any) -> Sequence[Any]:
    """Return the frames of a message from a worker; Malformed for one that cannot be read."""
    return _replies.decode(message)[1]


def encode(frames: list[Any]) -> bytes:
    """Return the frames as one message."""
    return MSGPACK.encode((0, frames))  # type: ignore[return-value]  # msgpack is bytes


def parts_of(message: bytes) -> list[bytes]:
    """Return what is to be written for a message: its length and the message."""
    length = _LENGTH.pack(len(message))
    return [length + message] if len(message) <= COALESCED_BYTES else [length, message]


class MessageReader:
    """Cuts messages out of a stream of bytes."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """Yield the messages that are whole now; those may be read in place for ever."""
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
        """Return how many bytes from `start` on are a message with its length."""
        if len(data) - start < _LENGTH.size:
            return _LENGTH.size
        length: int = _LENGTH.unpack_from(data, start)[0]
        return _LENGTH.size + length
