"""Link: numbers, acknowledgements, and what is sent again."""

from typing import Any

import pytest

from openenv.errors import RemoteProtocolError
from openenv.protocol.link import Link, size_bytes


def link_that_sent(*messages: Any, buffer_bytes: int = 1000) -> Link:
    link = Link(buffer_bytes)
    for message in messages:
        link.keep(message, size_bytes(message))
    return link


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (b"", 0),
        (b"\xff\xfe", 2),
        (bytearray(b"abc"), 3),
        ("abc", 3),
        ("é", 2),
        ("日本", 6),
        ("🎲", 4),
        ("\ud800", 3),
    ],
)
def test_the_size_of_text_is_that_of_its_utf8(message: Any, size: int) -> None:
    assert size_bytes(message) == size


def test_a_new_link_has_received_and_announced_nothing() -> None:
    link = Link(1000)
    assert (link.received, link.announced) == (0, 0)
    assert not link.owes_acknowledgement


def test_messages_are_numbered_from_one_and_kept() -> None:
    link = link_that_sent(b"one", b"three")
    assert (link.sent, link.acknowledged, link.kept_bytes) == (2, 0, 8)


@pytest.mark.parametrize(
    ("acknowledgements", "kept"),
    [
        ([0], [b"1", b"22", b"333"]),
        ([1], [b"22", b"333"]),
        ([3], []),
        ([1, 2, 3], []),
        ([2, 2], [b"333"]),
        # A message that is sent again carries the acknowledgement of its first time.
        ([3, 1], []),
        ([2, 0, 1], [b"333"]),
    ],
)
def test_an_acknowledgement_frees_what_came_before_it(
    acknowledgements: list[int], kept: list[bytes]
) -> None:
    link = link_that_sent(b"1", b"22", b"333")
    for number in acknowledgements:
        link.take_acknowledgement(number)
    assert link.acknowledged == max(acknowledgements)
    assert link.kept_bytes == sum(map(len, kept))
    assert link.resume(link.acknowledged) == kept


@pytest.mark.parametrize("number", [-1, 3, 2**60])
def test_acknowledging_what_was_never_sent_is_illegal(number: int) -> None:
    link = link_that_sent(b"1", b"2")
    with pytest.raises(RemoteProtocolError, match=str(number)):
        link.take_acknowledgement(number)
    assert link.resume(0) == [b"1", b"2"]


def test_text_is_counted_in_bytes_until_it_is_acknowledged() -> None:
    link = link_that_sent("é" * 10)
    assert link.kept_bytes == 20
    link.take_acknowledgement(1)
    assert link.kept_bytes == 0


@pytest.mark.parametrize(("messages", "is_full"), [([b"12345"], False), ([b"12345", b"6"], True)])
def test_more_than_the_bound_is_full(messages: list[bytes], is_full: bool) -> None:
    link = link_that_sent(*messages, buffer_bytes=5)
    assert link.is_full is is_full
    link.take_acknowledgement(1)
    assert not link.is_full


def test_an_acknowledgement_is_owed_until_it_is_announced() -> None:
    link = Link(10)
    assert not link.owes_acknowledgement
    link.received = 2
    assert link.owes_acknowledgement
    assert link.announce() == 2
    assert not link.owes_acknowledgement


@pytest.mark.parametrize("acknowledged", range(4))
@pytest.mark.parametrize("peer_received", range(-1, 6))
def test_a_link_resumes_from_every_point_that_it_still_keeps(
    acknowledged: int, peer_received: int
) -> None:
    messages = [b"1", b"2", b"3", b"4"]
    link = link_that_sent(*messages)
    link.take_acknowledgement(acknowledged)

    assert link.can_resume(peer_received) is (acknowledged <= peer_received <= 4)
    if link.can_resume(peer_received):
        assert link.resume(peer_received) == messages[peer_received:]
        assert link.sent == 4
        assert link.acknowledged == peer_received
