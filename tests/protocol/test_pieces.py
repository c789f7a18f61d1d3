"""Pieces: messages whose arrays lie elsewhere are joined to what they were, or refused."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openenv.errors import RemoteProtocolError
from openenv.protocol import pieces
from openenv.protocol.frames import Error, Result, ServerFrame
from openenv.protocol.wire import MSGPACK
from tests.protocol.links import begun

LIMIT = 10_000
MEMORY = memoryview(bytes(range(256)))


def message_of(*parts: Any) -> bytes:
    return msgspec.msgpack.encode(parts)


def test_what_lies_elsewhere_is_put_between_the_parts() -> None:
    message = pieces.write([b"one ", b" two ", b"three"], [(65, 3), (97, 2)])
    assert pieces.join(message, MEMORY, LIMIT) == b"one ABC two abthree"


def test_what_was_joined_does_not_change_with_the_memory() -> None:
    memory = bytearray(b"old")
    message = pieces.join(pieces.write([b"", b"!"], [(0, 3)]), memoryview(memory), LIMIT)
    memory[:] = b"new"
    assert message == b"old!"


@pytest.mark.parametrize(
    "message",
    [
        MSGPACK.encode((0, [])),
        MSGPACK.encode((3, [["close", 1, 1]])),
        # Two elements, written longer than need be.
        b"\xdc\x00\x02\x00\x90",
        b"",
        b"\xc1",
        b"\x93",
        message_of("text", [0, 1], b""),
        message_of(b"", [0, 1, 2], b""),
        message_of(b"", [0, 1.5], b""),
        message_of(b"", None, b""),
        "text",
    ],
)
def test_other_messages_are_left_as_they_are(message: Any) -> None:
    assert pieces.join(message, MEMORY, LIMIT) is message


@pytest.mark.parametrize(
    ("start", "size"),
    [(0, 257), (256, 1), (255, 2), (-1, 1), (10, -5), (-5, 5), (2**62, 2**62), (0, 2**63 - 1)],
)
def test_a_piece_that_is_not_in_the_memory_is_refused(start: int, size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{size} bytes at {start} of a segment of 256"):
        pieces.join(message_of(b"", [start, size], b""), MEMORY, LIMIT)


def test_pieces_that_are_too_much_together_are_refused_before_they_are_copied() -> None:
    message = message_of(b"12", *[[0, 256]] * 4, b"34")
    assert len(pieces.join(message, MEMORY, 1028)) == 1028
    with pytest.raises(RemoteProtocolError, match="1028 bytes in pieces, but at most 1027"):
        pieces.join(message, MEMORY, 1027)


places = st.tuples(st.integers(-300, 600), st.integers(-300, 600))
anything = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=9) | places | st.text(),
    lambda inner: st.lists(inner, max_size=5),
)


@given(anything.map(msgspec.msgpack.encode) | st.binary(max_size=60))
def test_whatever_comes_in_is_joined_left_or_refused(data: bytes) -> None:
    try:
        joined = pieces.join(data, MEMORY, 1000)
    except RemoteProtocolError:
        return
    assert joined is data or len(joined) <= 1000


class Reader:
    """Reads memory that holds a good message."""

    def join(self, data: Any, limit_bytes: int) -> Any:
        return pieces.join(data, memoryview(GOOD), limit_bytes)


GOOD = bytes(MSGPACK.encode((0, [Result(1, {"pixels": [1, 2, 3]}), Error(2, "X", "why")])))
parts_of_good = st.tuples(st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))


@given(st.lists(st.binary(max_size=4) | parts_of_good | st.just((0, len(GOOD))), max_size=5))
def test_whatever_is_joined_is_frames_or_refused(parts: list[Any]) -> None:
    client, _ = begun(MSGPACK)
    client.reader = Reader()
    try:
        frames = client.receive(message_of(b"", *parts, b""))
    except RemoteProtocolError:
        return
    assert all(isinstance(frame, get_args(ServerFrame)) for frame in frames)
