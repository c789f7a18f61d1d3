"""The writing half of a link: what is written when, on which socket, and how much at once."""

import asyncio
from typing import Any

import pytest

from openenv.errors import RemoteProtocolError
from openenv.protocol.frames import CLOSE_NORMAL, ClientHello, StateReply
from openenv.protocol.legacy import LegacyServerProtocol
from openenv.protocol.server import ServerProtocol
from openenv.protocol.wire import MSGPACK
from openenv.protocol.writer import WriterState
from openenv.server.links import outbox as module
from openenv.server.links.outbox import ServerOutbox
from tests.patience import within
from tests.server.links.sockets import DirectSocket


def make_outbox(**limits: Any) -> ServerOutbox:
    protocol = ServerProtocol(MSGPACK, "token", **limits)
    protocol.attach(ClientHello())
    return ServerOutbox(protocol, lambda: None)


def push(outbox: ServerOutbox, *ids: int, size: int = 1) -> None:
    outbox.writer.frames += [StateReply(number, b"x" * size) for number in ids]
    outbox.schedule()


async def turn() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_socket_that_takes_over_is_written_to_when_it_was_greeted_and_the_older_never() -> (
    None
):
    outbox, old, new = make_outbox(), DirectSocket(), DirectSocket()
    outbox.attach(old)
    await outbox.greet(old, [])
    push(outbox, 1)
    await turn()
    assert old.ids == [1]

    outbox.attach(new)
    push(outbox, 2)
    await turn()
    assert (old.ids, new.ids) == ([1], [])
    await outbox.greet(new, [])
    await outbox.flush(new)
    assert (old.ids, new.ids) == ([1], [2])


async def test_what_becomes_ready_in_one_turn_shares_a_message() -> None:
    outbox, socket = make_outbox(), DirectSocket()
    outbox.attach(socket)
    await outbox.greet(socket, [])
    push(outbox, 1)
    push(outbox, 2)
    await turn()
    assert len(socket.messages) == 1
    assert socket.ids == [1, 2]


async def test_no_more_is_numbered_than_the_bound_allows() -> None:
    outbox, socket = make_outbox(buffer_bytes=100_000), DirectSocket()
    outbox.attach(socket)
    await outbox.greet(socket, [])
    push(outbox, *range(1, 51), size=10_000)
    await turn()
    assert 100_000 < sum(len(frame[2]) for one in socket.messages for frame in one[1]) < 200_000
    assert len(outbox.writer.frames) == 50 - len(socket.ids)


async def test_a_socket_that_is_full_gets_the_rest_when_it_is_drained() -> None:
    outbox, socket = make_outbox(), DirectSocket(room=2)
    outbox.attach(socket)
    await outbox.greet(socket, [])
    writer = asyncio.create_task(outbox.run(socket))
    push(outbox, *range(1, 51), size=10_000)
    await turn()
    assert len(socket.messages) == 2
    # One message is on its way; all others are not even encoded.
    assert len(outbox.writer.frames) > 50 - 20
    push(outbox, 51)
    await turn()
    assert len(socket.messages) == 2
    socket.drain()
    await turn()
    assert socket.ids == list(range(1, 52))
    assert outbox.writer.state is WriterState.DIRECT
    writer.cancel()


async def test_what_an_ended_link_still_says_goes_nowhere() -> None:
    outbox, socket = make_outbox(), DirectSocket()
    outbox.attach(socket)
    await outbox.greet(socket, [])
    outbox.end()
    push(outbox, 1)
    await turn()
    outbox.detach()
    push(outbox, 2)
    assert not outbox.writer.frames
    assert not socket.messages


# ---------------------------------------------------------------- turns


def frame(number: int) -> StateReply:
    return StateReply(number, {})


async def greeted(socket: DirectSocket, **limits: Any) -> ServerOutbox:
    outbox = make_outbox(**limits)
    outbox.attach(socket)
    await outbox.greet(socket, [])
    return outbox


async def test_within_a_turn_frames_wait_for_who_handles_the_message() -> None:
    socket = DirectSocket()
    outbox = await greeted(socket)
    outbox.begin_turn()
    outbox.send_now(frame(1))
    assert outbox.writer.flush_pending
    outbox.end_turn()
    await turn()
    assert socket.ids == []
    outbox.write_now()
    assert socket.ids == [1]


async def test_outside_of_a_turn_a_frame_can_be_written_at_once() -> None:
    socket = DirectSocket()
    outbox = await greeted(socket)
    outbox.send_now(frame(1))
    assert socket.ids == [1]


async def test_a_client_that_makes_too_many_replies_wait_is_given_up() -> None:
    outbox = await greeted(DirectSocket(), buffer_bytes=10_000)
    push(outbox, *range(1, 11), size=5000)
    await turn()
    outbox.begin_turn()
    outbox.end_turn()
    push(outbox, *range(11, 100))
    await turn()
    with pytest.raises(RemoteProtocolError):
        outbox.begin_turn()
    assert not outbox.writer.flush_pending


async def test_a_message_is_acknowledged_soon_if_nothing_answers_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ACK_DELAY_S", 0.0)
    socket = DirectSocket()
    protocol = ServerProtocol(MSGPACK, "token")
    protocol.attach(ClientHello())
    outbox = ServerOutbox(protocol, lambda: None)
    outbox.attach(socket)
    await outbox.greet(socket, [])
    protocol.link.received = 3
    outbox.begin_turn()
    outbox.end_turn()
    async with within(5):
        while not socket.messages:
            await asyncio.sleep(0)
    assert socket.messages == [[3, []]]


# ---------------------------------------------------------------- taking over, closing


async def test_a_task_that_writes_to_a_socket_that_was_taken_over_writes_no_more() -> None:
    old, new = DirectSocket(room=0), DirectSocket()
    outbox = await greeted(old)
    outbox.writer.frames += [frame(1)]
    flushing = asyncio.create_task(outbox.flush(old))
    waiting = asyncio.create_task(outbox.until_flushed(old))
    await turn()
    assert not waiting.done()
    outbox.attach(new)
    push(outbox, 2)
    old.drain()
    await flushing
    await waiting
    assert (old.ids, new.ids) == ([1], [])
    await outbox.greet(new, [])
    await outbox.flush(new)
    assert (old.ids, new.ids) == ([1], [2])
    # The end of the old flush has not touched the state of the new socket.
    assert outbox.writer.state is WriterState.DIRECT


async def test_a_socket_is_closed_when_all_frames_are_written() -> None:
    socket = DirectSocket(room=0)
    outbox = ServerOutbox(LegacyServerProtocol(), lambda: None)
    outbox.attach(socket)
    outbox.writer.frames += [frame(1)]
    writer = asyncio.create_task(outbox.run(socket))
    outbox.finish()
    await turn()
    assert socket.close_code is None
    socket.drain()
    await turn()
    assert len(socket.messages) == 1
    assert socket.close_code == CLOSE_NORMAL
    writer.cancel()


async def test_a_refused_client_has_time_to_read_before_its_socket_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REFUSAL_LINGER_S", 0.001)
    socket = DirectSocket()
    outbox = ServerOutbox(LegacyServerProtocol(), lambda: None)
    outbox.attach(socket)
    writer = asyncio.create_task(outbox.run(socket))
    outbox.writer.frames += [frame(1)]
    outbox.finish(lingers=True)
    await outbox.flush(socket)
    assert len(socket.messages) == 1
    assert socket.close_code is None
    async with within(5):
        while socket.close_code is None:
            await asyncio.sleep(0.001)
    writer.cancel()


# ---------------------------------------------------------------- room


@pytest.mark.parametrize("event", ["drain", "detach", "end"])
async def test_who_waits_for_room_is_told_when_there_is_some_or_the_client_is_gone(
    event: str,
) -> None:
    socket = DirectSocket(room=0)
    outbox = await greeted(socket)
    assert outbox.until_room() is None
    push(outbox, *range(1, 21))
    room = outbox.until_room()
    assert room is not None
    writer = asyncio.create_task(outbox.run(socket))
    if event == "drain":
        socket.drain()
    else:
        getattr(outbox, event)()
    await turn()
    assert room.done()
    writer.cancel()


async def test_a_link_that_keeps_too_much_for_a_client_that_is_away_says_so() -> None:
    overflows: list[str] = []
    protocol = ServerProtocol(MSGPACK, "token", buffer_bytes=10_000)
    outbox = ServerOutbox(protocol, lambda: overflows.append("overflow"))
    push(outbox, *range(1, 4), size=5000)
    assert not overflows
    push(outbox, *range(4, 100))
    assert overflows
