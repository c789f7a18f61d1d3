"""Inbox: who gets a message, in which order, and when the socket is not read any more."""

import asyncio
from typing import Any

import pytest

from openenv.channel import MAX_UNREAD, ChannelClosed, Inbox, memory_pair


class Transport(asyncio.ReadTransport):
    """A fake: counts."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


async def test_a_transport_is_paused_while_too_many_messages_are_unread() -> None:
    transport = Transport()
    inbox = Inbox(transport)
    for number in range(MAX_UNREAD):
        inbox.put(str(number))
    assert transport.calls == []
    inbox.put("one too many")
    inbox.put("on its way already")
    assert transport.calls == ["pause"]
    await inbox.get()
    assert transport.calls == ["pause"]
    await inbox.get()
    assert transport.calls == ["pause", "resume"]
    while len(inbox):
        await inbox.get()
    assert transport.calls == ["pause", "resume"]


async def test_messages_that_a_listener_accepts_are_never_unread() -> None:
    transport = Transport()
    inbox = Inbox(transport)
    heard: list[Any] = []
    inbox.listener = lambda data: bool(heard.append(data)) or True
    for _ in range(2 * MAX_UNREAD):
        inbox.put(b"")
    assert len(heard) == 2 * MAX_UNREAD
    assert transport.calls == []


async def test_a_listener_that_refuses_a_message_gets_none_before_that_is_read() -> None:
    inbox = Inbox()
    heard: list[Any] = []

    def listener(data: Any) -> bool:
        heard.append(data)
        return data != b"1"

    inbox.listener = listener
    for data in (b"0", b"1", b"2"):
        inbox.put(data)
    assert heard == [b"0", b"1"]
    assert [await inbox.get(), await inbox.get()] == [b"1", b"2"]
    inbox.put(b"3")
    assert heard == [b"0", b"1", b"3"]


async def test_what_a_listener_raises_is_raised_to_the_reader_and_ends_the_inbox() -> None:
    def listener(_: Any) -> bool:
        raise ZeroDivisionError

    inbox = Inbox()
    inbox.put(b"before")
    inbox.listener = listener
    assert await inbox.get() == b"before"
    inbox.put(b"fails")
    inbox.listener = None
    inbox.put(b"late")
    with pytest.raises(ZeroDivisionError):
        await inbox.get()


async def test_messages_before_the_end_can_be_read_and_the_first_end_counts() -> None:
    inbox = Inbox()
    inbox.put(b"before")
    inbox.close(ChannelClosed(1001))
    inbox.close(ChannelClosed(1002))
    assert await inbox.get() == b"before"
    with pytest.raises(ChannelClosed) as closed:
        await inbox.get()
    assert closed.value.code == 1001


async def test_closing_one_end_of_a_pair_closes_both() -> None:
    one, other = memory_pair()
    await one.send(b"last")
    await one.aclose(1001)
    assert await other.receive() == b"last"
    with pytest.raises(ChannelClosed):
        await other.receive()
    with pytest.raises(ChannelClosed):
        await other.send(b"")
