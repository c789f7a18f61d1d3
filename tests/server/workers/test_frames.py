"""The stream between a server and a worker: cut anywhere, it gives the same messages."""

import random

import pytest

from openenv.protocol.frames import Close, Malformed, Step
from openenv.server.workers.frames import (
    COALESCED_BYTES,
    FORMATS,
    MessageReader,
    ResetNamed,
    decode_replies,
    decode_requests,
    encode,
    format_of,
    parts_of,
)


@pytest.mark.parametrize("largest_cut", [1, 7, 100, 200_000])
def test_messages_are_whole_however_their_bytes_arrive(largest_cut: int) -> None:
    chance = random.Random(3)
    sizes = [0, 1, 8, 300, COALESCED_BYTES, COALESCED_BYTES + 1, 5, 0]
    messages = [chance.randbytes(size if largest_cut > 7 else size % 1000) for size in sizes]
    stream = b"".join(part for message in messages for part in parts_of(message))
    cutter, found = MessageReader(), []
    while stream:
        cut = chance.randint(1, largest_cut)
        found += [bytes(message) for message in cutter.feed(stream[:cut])]
        stream = stream[cut:]
    assert found == messages


def test_messages_that_were_cut_out_stay_as_they_are() -> None:
    cutter = MessageReader()
    [stream] = parts_of(b"first")
    [first] = cutter.feed(stream + stream[:3])
    [second] = cutter.feed(stream[3:])
    assert (bytes(first), bytes(second)) == (b"first", b"first")


def test_a_small_message_is_one_write() -> None:
    assert len(parts_of(b"x" * COALESCED_BYTES)) == 1
    assert len(parts_of(b"x" * (COALESCED_BYTES + 1))) == 2


def test_frames_come_out_as_they_went_in() -> None:
    begin = ResetNamed(3, 1, 7, None, {"level": 2}, "name")
    found = decode_requests(encode([Step(3, 1, {"a": 1}), begin, Close(3, 1)]))
    assert [type(frame) for frame in found] == [Step, ResetNamed, Close]
    assert (found[1].name, found[1].options) == ("name", {"level": 2})


def test_a_frame_that_is_none_spoils_no_other() -> None:
    spoiled, good = decode_replies(encode([("result", 5), ("opened", 6, "")]))
    assert type(spoiled) is Malformed
    assert good.id == 6


class Asking:
    """Stands for an origin, of which only the dialect matters here."""

    def __init__(self, encoding: str, *, lenient: bool, native: bool | None) -> None:
        self.encoding, self.is_lenient = encoding, lenient
        if native is not None:
            self.is_native = native


@pytest.mark.parametrize(
    ("origin", "manner"),
    [
        (Asking("msgpack", lenient=False, native=True), ("msgpack", "msgpack")),
        (Asking("json", lenient=False, native=True), ("json", "json")),
        (Asking("json", lenient=True, native=False), ("json", "legacy")),
        (Asking("json", lenient=False, native=None), ("json", "values")),
        (Asking("msgpack", lenient=False, native=None), ("msgpack", "values")),
    ],
)
def test_each_kind_of_client_has_its_manner(origin: Asking, manner: tuple[str, str]) -> None:
    assert FORMATS[format_of(origin)] == manner
