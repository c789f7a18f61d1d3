"""The writing half of a link: what is written when, on which socket, and how much at once."""

import asyncio
from typing import Any

import msgspec

from openenv.protocol.frames import ClientHello, StateReply
from openenv.protocol.server import ServerProtocol
from openenv.protocol.wire import MSGPACK
from openenv.protocol.writer import WriterState
from openenv.server.links.outbox import Outbox

decode = msgspec.msgpack.decode


class Socket:
    """A fake of a direct channel, whose buffers are as large as the test says."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.written: list[Any] = []
        self.was_drained = asyncio.Event()

    @property
    def is_writable(self) -> bool:
        return self.room > 0

    @property
    def ids(self) -> list[int]:
        """Of the replies that were written."""
        return [frame[1] for message in self.written for frame in message[1]]

    def write(self, data: Any) -> None:
        self.room -= 1
        self.written.append(decode(data))

    async def send(self, data: Any) -> None:
        while not self.is_writable:
            self.was_drained.clear()
            await self.was_drained.wait()
        self.write(data)

    def drain(self, room: int = 1_000_000) -> None:
        self.room = room
        self.was_drained.set()

    def listen(self, listener: Any) -> None:
        """Nobody ever sends."""

    async def receive(self) -> Any:
        raise NotImplementedError

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        raise NotImplementedError


def make_outbox(**limits: Any) -> Outbox:
    protocol = ServerProtocol(MSGPACK, "token", **limits)
    protocol.attach(ClientHello())
    return Outbox(protocol, lambda: None)


def push(outbox: Outbox, *ids: int, size: int = 1) -> None:
    outbox.writer.frames += [StateReply(number, b"x" * size) for number in ids]
    outbox.schedule()


async def turn() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_socket_that_takes_over_is_written_to_when_it_was_greeted_and_the_older_never() -> (
    None
):
    outbox, old, new = make_outbox(), Socket(), Socket()
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
    outbox, socket = make_outbox(), Socket()
    outbox.attach(socket)
    await outbox.greet(socket, [])
    push(outbox, 1)
    push(outbox, 2)
    await turn()
    assert len(socket.written) == 1
    assert socket.ids == [1, 2]


async def test_no_more_is_numbered_than_the_bound_allows() -> None:
    outbox, socket = make_outbox(buffer_bytes=100_000), Socket()
    outbox.attach(socket)
    await outbox.greet(socket, [])
    push(outbox, *range(1, 51), size=10_000)
    await turn()
    assert 100_000 < sum(len(frame[2]) for one in socket.written for frame in one[1]) < 200_000
    assert len(outbox.writer.frames) == 50 - len(socket.ids)


async def test_a_socket_that_is_full_gets_the_rest_when_it_is_drained() -> None:
    outbox, socket = make_outbox(), Socket(room=2)
    outbox.attach(socket)
    await outbox.greet(socket, [])
    writer = asyncio.create_task(outbox.run(socket))
    push(outbox, *range(1, 51), size=10_000)
    await turn()
    assert len(socket.written) == 2
    # One message is on its way; all others are not even encoded.
    assert len(outbox.writer.frames) > 50 - 20
    push(outbox, 51)
    await turn()
    assert len(socket.written) == 2
    socket.drain()
    await turn()
    assert socket.ids == list(range(1, 52))
    assert outbox.writer.state is WriterState.DIRECT
    writer.cancel()


async def test_what_an_ended_link_still_says_goes_nowhere() -> None:
    outbox, socket = make_outbox(), Socket()
    outbox.attach(socket)
    await outbox.greet(socket, [])
    outbox.end()
    push(outbox, 1)
    await turn()
    outbox.detach()
    push(outbox, 2)
    assert not outbox.writer.frames
    assert not socket.written
