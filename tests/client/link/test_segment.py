"""SegmentReader: the right memory is mapped, and nothing else is at a stranger's word."""

import gc
import os
import tempfile
from collections.abc import Iterator
from fcntl import F_ADD_SEALS, F_SEAL_SHRINK, fcntl
from typing import Any

import pytest

from openenv.client.link.segment import answer_offer
from openenv.errors import RemoteProtocolError
from openenv.protocol import pieces
from openenv.protocol.client import ClientProtocol
from openenv.protocol.frames import MAX_ID, SegmentAnswer, SegmentOffer
from openenv.protocol.wire import MSGPACK

NONCE = bytes(range(pieces.NONCE_BYTES))
SIZE_BYTES = 4096


class Offering:
    """Files to offer; closed at the end."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def memory(
        self, name: str = pieces.SEGMENT_NAME, size: int = SIZE_BYTES, seals: int = F_SEAL_SHRINK
    ) -> int:
        descriptor = os.memfd_create(name, os.MFD_ALLOW_SEALING)
        self.descriptors.append(descriptor)
        os.ftruncate(descriptor, size)
        os.pwrite(descriptor, NONCE + b"content", 0)
        fcntl(descriptor, F_ADD_SEALS, seals)
        return descriptor

    def file(self) -> int:
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
        self.descriptors.append(descriptor)
        os.write(descriptor, NONCE.ljust(SIZE_BYTES))
        return descriptor


@pytest.fixture
def offering() -> Iterator[Offering]:
    one = Offering()
    yield one
    for descriptor in one.descriptors:
        os.close(descriptor)


def offer(descriptor: int, **other: Any) -> SegmentOffer:
    fields = {"pid": os.getpid(), "descriptor": descriptor, "size_bytes": SIZE_BYTES}
    return SegmentOffer(**{**fields, "nonce": NONCE, **other})


def answer(offered: SegmentOffer) -> bool:
    """Return whether it was mapped; then it is read from, else nothing has changed."""
    client, open_files = ClientProtocol(MSGPACK), len(os.listdir("/proc/self/fd"))
    given = answer_offer(client, offered)
    assert (client.reader is not None) is given.is_mapped
    assert len(os.listdir("/proc/self/fd")) == open_files + given.is_mapped
    return given.is_mapped


def test_a_segment_is_mapped_and_read(offering: Offering) -> None:
    client = ClientProtocol(MSGPACK)
    assert answer_offer(client, offer(offering.memory())) == SegmentAnswer(is_mapped=True)
    assert client.reader is not None
    message = pieces.write([b"<", b">"], [(16, 7)])
    assert client.reader.join(message, 100) == b"<content>"
    with pytest.raises(RemoteProtocolError, match="a segment of 4096"):
        client.reader.join(pieces.write([b"", b""], [(16, 4096)]), 10_000)


def test_a_mapping_outlives_the_server_and_ends_with_its_reader(offering: Offering) -> None:
    gc.collect()
    before, client = _mappings(), ClientProtocol(MSGPACK)
    answer_offer(client, offer(offering.memory()))
    os.close(offering.descriptors.pop())
    assert client.reader is not None
    assert client.reader.join(pieces.write([b"", b""], [(16, 7)]), 100) == b"content"
    assert _mappings() == before + 1
    client.reader = None
    assert _mappings() == before


def _mappings() -> int:
    with open("/proc/self/maps") as maps:
        return sum(f"/memfd:{pieces.SEGMENT_NAME}" in line for line in maps)


@pytest.mark.parametrize(
    "other",
    [
        {"nonce": NONCE[::-1]},
        {"nonce": b""},
        {"nonce": NONCE[:-1]},
        {"size_bytes": SIZE_BYTES - 1},
        {"size_bytes": SIZE_BYTES + 1},
        {"size_bytes": MAX_ID},
        {"pid": MAX_ID},
        {"pid": 1},
        {"pid": -1},
        {"size_bytes": 0},
        {"size_bytes": -1},
    ],
    ids=str,
)
def test_what_is_not_what_it_is_said_to_be_is_declined(
    offering: Offering, other: dict[str, Any]
) -> None:
    assert not answer(offer(offering.memory(), **other))


def test_a_descriptor_that_is_not_open_is_declined() -> None:
    assert not answer(offer(MAX_ID))
    assert not answer(offer(-1))


def test_other_files_are_not_even_opened(offering: Offering) -> None:
    assert not answer(offer(offering.file()))
    assert not answer(offer(offering.memory(name="something else")))
    reading, writing = os.pipe()
    offering.descriptors += (reading, writing)
    assert not answer(offer(reading))


def test_memory_that_could_be_cut_off_under_its_reader_is_declined(offering: Offering) -> None:
    assert not answer(offer(offering.memory(seals=0)))


def test_memory_without_end_is_declined(offering: Offering) -> None:
    size = 1 << 50
    assert not answer(offer(offering.memory(size=size), size_bytes=size))


def test_where_files_have_no_such_names_every_offer_is_declined(
    offering: Offering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert not answer(offer(offering.memory()))
