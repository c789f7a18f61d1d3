"""Frames cut from a socket's bytes: every message once, in order, however the bytes arrive."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from openenv.framing import WebSocketFrameReader, client_frames, server_frames

MAX_BYTES = 1000


class Socket:
    """Takes what a cutter gives, and joins neighbouring foreign bytes."""

    def __init__(self, *, is_server: bool = True) -> None:
        self.taken: list[Any] = []
        self.cutter = WebSocketFrameReader(
            lambda data: self.taken.append(data),
            self._pass_on,
            is_server=is_server,
            max_bytes=MAX_BYTES,
        )

    def _pass_on(self, data: bytes) -> None:
        if data:
            if self.taken and isinstance(self.taken[-1], bytearray):
                self.taken[-1] += data
            else:
                self.taken.append(bytearray(data))


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=mask)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_what_one_side_writes_is_read_by_websockets_own_parser(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert b"".join(server_frames(data)) == frame(Opcode.BINARY, data, mask=False)
    masked = b"".join(client_frames(data))
    key = masked[-size - 4 : -size] if size else masked[-4:]
    body = masked[len(masked) - size :]
    assert bytes(byte ^ key[i % 4] for i, byte in enumerate(body)) == data
    assert len(masked) == len(frame(Opcode.BINARY, data))


def test_each_message_has_a_mask_of_its_own() -> None:
    assert len({b"".join(client_frames(b"same")) for _ in range(20)}) == 20


def test_text_and_bytes_are_told_apart() -> None:
    for is_server, write in ((True, client_frames), (False, server_frames)):
        socket = Socket(is_server=is_server)
        socket.cutter.feed(b"".join((*write("häh"), *write(b"\x00\xff"), *write(""))))
        assert socket.taken == ["häh", b"\x00\xff", ""]


PLAIN = st.one_of(st.binary(max_size=300), st.text(max_size=100))
FOREIGN = st.sampled_from(
    [
        frame(Opcode.PING, b"ping"),
        frame(Opcode.BINARY, b"too large" * 200),
        frame(Opcode.BINARY, b"unmasked", mask=False),
        b"\xc2" + frame(Opcode.BINARY, b"deflated")[1:],
        frame(Opcode.TEXT, b"\xff no UTF-8"),
        frame(Opcode.TEXT, b"one ", fin=False) + frame(Opcode.CONT, b"message"),
        frame(Opcode.BINARY, b"one ", fin=False)
        + frame(Opcode.PING, b"")
        + frame(Opcode.CONT, b"more"),
    ]
)


@given(
    st.lists(PLAIN | FOREIGN.map(bytearray), max_size=12),
    st.lists(st.integers(1, 400), min_size=1, max_size=40),
)
def test_every_byte_arrives_once_and_in_order_however_it_is_cut(
    parts: list[Any], sizes: list[int]
) -> None:
    stream, expected = b"", b""
    for part in parts:
        if isinstance(part, bytearray):
            stream += part
            expected += part
        else:
            stream += b"".join(client_frames(part))
            expected += b"".join(server_frames(part))
    socket = Socket()
    sizes = sizes * (len(stream) // sum(sizes) + 1)
    start = 0
    for size in sizes:
        socket.cutter.feed(stream[start : start + size])
        start += size
    socket.cutter.feed(b"")
    assert (
        _unmasked(socket.taken)
        == _unmasked([bytearray(stream)])
        == _unmasked([bytearray(expected)])
    )


def _unmasked(taken: list[Any]) -> list[tuple[int, bytes]]:
    """Return the frames that were taken or passed on, with websockets' own parser."""
    data = b"".join(
        bytes(part) if isinstance(part, bytearray) else b"".join(server_frames(part))
        for part in taken
    )
    frames, start = [], 0
    while start < len(data):
        first, second = data[start], data[start + 1]
        size, body = second & 127, start + 2
        if size == 126:
            size, body = int.from_bytes(data[body : body + 2]), body + 2
        mask = data[body : body + 4] if second & 128 else b"\0\0\0\0"
        body += 4 if second & 128 else 0
        payload = data[body : body + size]
        assert len(payload) == size
        frames.append((first, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))))
        start = body + size
    return frames


@pytest.mark.parametrize("is_server", [True, False])
@pytest.mark.parametrize("message", [b"\x00\xff" * 400, "hä" * 300])
@pytest.mark.parametrize("piece_bytes", [1, 7, 100, 799])
def test_a_message_in_pieces_never_takes_the_long_way(
    is_server: bool, message: bytes | str, piece_bytes: int
) -> None:
    socket = Socket(is_server=is_server)
    write = client_frames if is_server else server_frames
    stream = b"".join((*write(message), *write(b"next")))
    for start in range(0, len(stream), piece_bytes):
        socket.cutter.feed(stream[start : start + piece_bytes])
    assert socket.taken == [message, b"next"]


def test_text_in_pieces_that_is_none_is_left_to_the_parser_which_refuses_it() -> None:
    wrong = frame(Opcode.TEXT, b"\xff no UTF-8 at all")
    socket = Socket()
    socket.cutter.feed(wrong[:9])
    socket.cutter.feed(wrong[9:])
    assert socket.taken == [wrong]


def test_a_message_of_which_a_part_has_come_is_passed_on_when_the_connection_closes() -> None:
    begun = b"".join(client_frames(b"x" * 900))[:500]
    socket = Socket()
    socket.cutter.feed(begun[:30])
    socket.cutter.feed(begun[30:])
    assert socket.taken == []
    socket.cutter.finish(b"rest")
    socket.cutter.finish(b" and more")
    assert socket.taken == [begun + b"rest and more"]


def test_a_message_byte_by_byte_takes_no_more_memory_than_in_one_piece() -> None:
    size = 100_000
    cutter = WebSocketFrameReader(lambda _: None, lambda _: None, is_server=False, max_bytes=size)
    stream = b"".join(server_frames(bytes(size)))[:-1]
    cutter.feed(stream[:20])
    tracemalloc.start()
    try:
        for byte in memoryview(stream)[20:]:
            cutter.feed(bytes((byte,)))
        assert tracemalloc.get_traced_memory()[0] < 2 * size
    finally:
        tracemalloc.stop()


def test_whole_messages_never_take_the_long_way() -> None:
    socket = Socket()
    for message in (b"a", "b", b"c" * 500):
        socket.cutter.feed(b"".join(client_frames(message)))
    assert socket.taken == [b"a", "b", b"c" * 500]


def test_a_message_within_another_ones_fragments_is_left_to_the_parser_which_refuses_it() -> None:
    within = frame(Opcode.TEXT, b"one", fin=False) + b"".join(client_frames(b"two"))
    socket = Socket()
    socket.cutter.feed(within)
    assert socket.taken == [within]


def test_nothing_is_taken_after_a_close_frame() -> None:
    after = frame(Opcode.CLOSE, b"\x03\xe8") + b"".join(client_frames(b"late"))
    socket = Socket()
    socket.cutter.feed(b"".join(client_frames(b"early")) + after)
    assert socket.taken == [b"early", after]


def test_a_header_that_is_not_whole_yet_is_passed_on_when_the_connection_closes() -> None:
    begun = b"".join(client_frames(b"x" * 200))[:3]
    socket = Socket()
    socket.cutter.feed(begun)
    assert socket.taken == []
    socket.cutter.finish(b"rest")
    assert socket.taken == [begun + b"rest"]
