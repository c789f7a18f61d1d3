"""Segment: what lies where, when it is free again, and what happens when there is no room."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openenv.client.link.segment import answer_offer
from openenv.protocol import frames as f
from openenv.protocol.client import ClientProtocol
from openenv.protocol.link import Link
from openenv.protocol.wire import MSGPACK
from openenv.server.links.segment import ARRAY_MIN_BYTES, Ring, Segment, make_segment
from tests.protocol.links import Unencodable

# ---------------------------------------------------------------- ring


def test_places_follow_each_other() -> None:
    ring = Ring(10, 100)
    assert [ring.take(30, number) for number in (1, 2, 3)] == [10, 40, 70]
    assert ring.take(1, 4) is None


def test_nothing_is_free_before_its_message_is_acknowledged() -> None:
    ring = Ring(0, 100)
    assert [ring.take(50, number) for number in (1, 2)] == [0, 50]
    ring.release(0, 2)
    assert ring.take(50, 3) is None
    ring.release(1, 2)
    assert ring.take(50, 3) == 0
    assert ring.take(1, 4) is None


def test_all_places_of_a_message_come_free_together() -> None:
    ring = Ring(0, 100)
    assert [ring.take(20, number) for number in (1, 1, 2)] == [0, 20, 40]
    ring.release(1, 2)
    assert ring.take(40, 3) == 0


def test_the_start_is_taken_again_as_soon_as_it_is_free() -> None:
    # What was never written to takes no memory.
    ring = Ring(0, 1000)
    assert [ring.take(10, number) for number in (1, 2)] == [0, 10]
    ring.release(1, 2)
    assert ring.take(10, 3) == 0


def test_a_gap_that_is_too_small_is_left() -> None:
    ring = Ring(0, 100)
    assert [ring.take(20, number) for number in (1, 2)] == [0, 20]
    ring.release(1, 2)
    assert ring.take(30, 3) == 40
    assert ring.take(10, 4) == 0
    # Now the newest lie before the oldest: what is between them is free, what is behind is not.
    assert ring.take(11, 5) is None
    assert ring.take(10, 5) == 10
    ring.release(2, 5)
    assert ring.take(21, 6) is None
    assert ring.take(20, 6) == 20


def test_what_was_meant_for_a_message_that_was_not_sent_is_free() -> None:
    ring = Ring(0, 100)
    assert ring.take(40, 1) == 0
    ring.release(0, 1)
    assert ring.take(60, 2) == 40
    ring.release(0, 1)
    assert ring.take(60, 2) == 40


def test_a_place_larger_than_all_there_is() -> None:
    assert Ring(0, 100).take(101, 1) is None


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans(), st.integers(0, 3)), max_size=60))
def test_no_two_messages_ever_share_a_byte(moves: list[tuple[int, bool, int]]) -> None:
    ring = Ring(8, 108)
    held: dict[int, list[tuple[int, int]]] = {}
    sent = acknowledged = 0
    for size, is_sent, arrived in moves:
        acknowledged = min(sent, acknowledged + arrived)
        held = {n: places for n, places in held.items() if acknowledged < n <= sent}
        ring.release(acknowledged, sent)
        start = ring.take(size, sent + 1)
        assert start is not None or held
        if start is not None:
            assert 8 <= start <= start + size <= 108
            for other, end in (place for places in held.values() for place in places):
                assert start + size <= other or end <= start
            held.setdefault(sent + 1, []).append((start, start + size))
        sent += is_sent


# ---------------------------------------------------------------- segment


class Shared:
    """A segment, its link, and a client that reads it."""

    def __init__(self, segment: Segment, link: Link) -> None:
        self.segment, self.link = segment, link
        self._client = ClientProtocol(MSGPACK)
        assert answer_offer(self._client, segment.offer).is_mapped

    def send(self, payload: Any) -> tuple[bytes, bytes]:
        """Return a message as it travels, and as it arrives."""
        data, size = self.segment.encode((0, [f.Result(1, payload)]))
        self.link.keep(data, len(data))
        joined = self.read(data)
        assert len(joined) == size
        return data, joined  # type: ignore[return-value]  # it is no text

    def read(self, data: Any) -> bytes:
        assert self._client.reader is not None
        return self._client.reader.join(data, f.MAX_MESSAGE_BYTES)  # type: ignore[return-value]


@contextmanager
def shared(size_bytes: int = 1 << 20) -> Iterator[Shared]:
    link = Link(f.BUFFER_BYTES)
    segment = make_segment(link, size_bytes)
    assert segment is not None
    try:
        yield Shared(segment, link)
    finally:
        segment.close()


def as_bytes(payload: Any) -> bytes:
    return MSGPACK.encode((0, [f.Result(1, payload)]))  # type: ignore[return-value]


def noise(size: int, dtype: Any = np.uint8) -> Any:
    values = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    return values.view(dtype)


LARGE = noise(100_800)


@pytest.mark.parametrize(
    "payload",
    [
        LARGE,
        {"pixels": LARGE.reshape(210, 160, 3), "score": 7},
        {"views": [LARGE, LARGE + 1, LARGE + 2], "nested": {"deep": [{"x": noise(80_000, "<f4")}]}},
        [noise(80_000, "<f2"), noise(80_000, "<c8"), LARGE < 99, noise(80_000, ">f4")],
        LARGE.reshape(160, 210, 3).transpose(1, 0, 2),
        np.concatenate((LARGE, LARGE))[::2],
        {"small": noise(100), "large": LARGE},
    ],
    ids=["array", "field", "several", "dtypes", "transposed", "strided", "beside a small one"],
)
def test_what_arrives_is_what_would_have_arrived_as_bytes(payload: Any) -> None:
    with shared() as both:
        data, joined = both.send(payload)
        assert joined == as_bytes(payload)
        assert len(data) < 1000


@pytest.mark.parametrize(
    "payload",
    [None, {"n": 1}, noise(ARRAY_MIN_BYTES - 1), "x" * 100_000, bytes(LARGE), np.float32(1.5)],
    ids=["nothing", "object", "small", "text", "bytes", "scalar"],
)
def test_whatever_is_no_large_array_travels_as_it_always_did(payload: Any) -> None:
    with shared() as both:
        assert both.send(payload) == (as_bytes(payload), as_bytes(payload))


def test_an_array_that_finds_no_room_travels_as_bytes() -> None:
    with shared(300_000) as both:
        messages = [both.send(LARGE + n) for n in range(4)]
        assert [len(data) < 1000 for data, _ in messages] == [True, True, False, False]
        assert [joined for _, joined in messages] == [as_bytes(LARGE + n) for n in range(4)]
        both.link.take_acknowledgement(1)
        assert len(both.send(LARGE)[0]) < 1000


def test_some_of_a_message_may_find_room_and_some_not() -> None:
    with shared(300_000) as both:
        data, joined = both.send([LARGE, LARGE + 1, LARGE + 2])
        assert joined == as_bytes([LARGE, LARGE + 1, LARGE + 2])
        assert LARGE.nbytes < len(data) < LARGE.nbytes + 1000


def test_what_is_not_acknowledged_is_never_overwritten() -> None:
    with shared(1_000_000) as both:
        kept = [(both.send(LARGE + n)[0], n) for n in range(12)]
        both.link.take_acknowledgement(3)
        kept = [*kept[3:], *((both.send(LARGE + n)[0], n) for n in range(12, 16))]
        for data, n in kept:
            assert both.read(data) == as_bytes(LARGE + n)


def test_a_message_that_could_not_be_encoded_holds_no_room() -> None:
    with shared(150_000) as both:
        for _ in range(3):
            with pytest.raises(TypeError, match="Unencodable"):
                both.segment.encode((0, [f.Result(1, LARGE), f.Result(2, Unencodable())]))
        assert len(both.send(LARGE)[0]) < 1000


@contextmanager
def limited(what: int, limit: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


@pytest.mark.parametrize("limit", [100_000, 50_000, 64])
def test_where_the_host_gives_no_memory_arrays_travel_as_bytes(limit: int) -> None:
    with shared() as both:
        with limited(resource.RLIMIT_FSIZE, limit):
            data, joined = both.send(LARGE)
        assert data == joined == as_bytes(LARGE)
        assert len(both.send(LARGE)[0]) < 1000


def test_where_nothing_can_be_shared_there_is_no_segment() -> None:
    open_files = len(os.listdir("/proc/self/fd"))
    with limited(resource.RLIMIT_NOFILE, 0):
        assert make_segment(Link(1), 1 << 20) is None
    with limited(resource.RLIMIT_FSIZE, 1000):
        assert make_segment(Link(1), 1 << 20) is None
    # Not even what it begins with has room.
    assert make_segment(Link(1), 10) is None
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_only_a_platform_that_has_such_memory_shares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert make_segment(Link(1), 1 << 20) is None


def test_memory_is_taken_when_it_is_written_and_given_back_at_the_end() -> None:
    with shared(1 << 30) as both:
        descriptor = both.segment.offer.descriptor
        taken_before = os.fstat(descriptor).st_blocks * 512
        both.send(LARGE)
        assert taken_before <= 4096
        assert LARGE.nbytes <= os.fstat(descriptor).st_blocks * 512 < 2 * LARGE.nbytes
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)


def test_the_same_memory_is_used_again_and_again() -> None:
    with shared(1 << 30) as both:
        for n in range(100):
            both.send(LARGE)
            both.link.take_acknowledgement(max(0, n - 3))
        assert os.fstat(both.segment.offer.descriptor).st_blocks * 512 < 10 * LARGE.nbytes
