"""The writing half of a client's link: when frames leave, and which never do."""

import asyncio
from typing import Any

import pytest

from openenv.channel import ChannelClosed, DirectChannel
from openenv.client.link import outbox as module
from openenv.client.link.outbox import ClientOutbox
from openenv.protocol.client import ClientProtocol
from openenv.protocol.frames import Error, GetState, Reset, ServerHello
from openenv.protocol.legacy import LegacyClientProtocol
from openenv.protocol.wire import MSGPACK
from tests.patience import within
from tests.protocol.links import Unencodable
from tests.server.links.sockets import DirectSocket


def begun() -> ClientProtocol:
    protocol = ClientProtocol(MSGPACK)
    protocol.attach(MSGPACK.encode(ServerHello(token="token")))  # type: ignore[arg-type]
    return protocol


def frame(number: int) -> GetState:
    return GetState(number, 1)


class World:
    """An outbox, its task, and the replies that it has made itself."""

    def __init__(self) -> None:
        self.local: list[Any] = []
        self.outbox = ClientOutbox(asyncio.get_running_loop(), self.local.extend)
        self.task = asyncio.create_task(self.outbox.run())

    async def attach(self, socket: DirectChannel, protocol: Any = None) -> None:
        self.outbox.attach(protocol or begun(), socket)
        await turn()

    async def __aenter__(self) -> "World":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.outbox.stop()
        self.task.cancel()
        await asyncio.wait([self.task])


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_frames_of_one_turn_share_a_message() -> None:
    socket = DirectSocket()
    async with World() as world:
        await world.attach(socket)
        world.outbox.push(frame(1))
        world.outbox.push(frame(2))
        assert not socket.messages
        await turn()
        assert [len(message[1]) for message in socket.messages] == [2]


async def test_frames_can_leave_before_the_turn_ends() -> None:
    socket = DirectSocket()
    async with World() as world:
        await world.attach(socket)
        world.outbox.push(frame(1))
        world.outbox.write_now()
        assert socket.ids == [1]
        world.outbox.write_now()
        world.outbox.push(frame(2))
        await turn()
        assert socket.ids == [1, 2]


async def test_frames_wait_for_a_full_socket_in_order() -> None:
    socket = DirectSocket(room=0)
    async with World() as world:
        await world.attach(socket)
        world.outbox.push(frame(1))
        await turn()
        world.outbox.push(frame(2))
        await turn()
        assert not socket.messages
        socket.drain()
        await turn()
        assert socket.ids == [1, 2]
        world.outbox.push(frame(3))
        world.outbox.write_now()
        assert socket.ids == [1, 2, 3]


async def test_frames_without_a_socket_go_out_on_the_next_one_of_the_same_link() -> None:
    protocol, first, second = begun(), DirectSocket(), DirectSocket()
    async with World() as world:
        await world.attach(first, protocol)
        world.outbox.detach()
        world.outbox.push(frame(1))
        await turn()
        await world.attach(second, protocol)
        assert (first.ids, second.ids) == ([], [1])


async def test_frames_of_a_lost_link_never_go_out_on_the_next() -> None:
    first, second = DirectSocket(room=0), DirectSocket()
    async with World() as world:
        await world.attach(first)
        world.outbox.push(frame(1))
        world.outbox.detach()
        world.outbox.push(frame(2))
        world.outbox.clear()
        await world.attach(second)
        world.outbox.push(frame(3))
        await turn()
        assert second.ids == [3]


async def test_a_task_that_waits_for_a_lost_socket_writes_nothing_to_the_next() -> None:
    first, second = DirectSocket(room=0), DirectSocket()
    async with World() as world:
        await world.attach(first)
        for number in range(1, 4):
            world.outbox.push(frame(number))
            await turn()
        world.outbox.detach()
        world.outbox.clear()
        await world.attach(second)
        world.outbox.push(frame(4))
        first.drain()
        await turn()
        # The message that was on its way, and no other.
        assert len(first.messages) == 1
        assert second.ids == [4]


@pytest.mark.parametrize("room", [0, 1])
async def test_a_socket_that_is_lost_while_it_is_written_to_ends_nothing(room: int) -> None:
    class Lost(DirectSocket):
        def write(self, data: Any) -> None:
            raise ChannelClosed()

    socket = Lost(room)
    async with World() as world:
        await world.attach(socket)
        world.outbox.push(frame(1))
        await turn()
        socket.drain()
        await turn()
        assert not world.task.done()


async def test_requests_that_cannot_be_sent_are_answered_here() -> None:
    socket = DirectSocket()
    async with World() as world:
        await world.attach(socket)
        world.outbox.push(Reset(1, 1, options={"task": Unencodable()}))
        world.outbox.push(frame(2))
        await turn()
        assert socket.ids == [2]
        [error] = world.local
        assert isinstance(error, Error)
        assert (error.id, error.code) == (1, "PAYLOAD_ERROR")


async def test_messages_are_acknowledged_once_and_not_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ACK_DELAY_S", 0.0)
    protocol, socket = begun(), DirectSocket()
    async with World() as world:
        await world.attach(socket, protocol)
        protocol.link.received = 7
        world.outbox.acknowledge_later()
        world.outbox.acknowledge_later()
        async with within(5):
            while not socket.messages:
                await asyncio.sleep(0)
        assert socket.messages == [[7, []]]
        protocol.link.received = 8
        world.outbox.acknowledge_later()
        world.outbox.stop()
        world.outbox.stop()
        await turn()
        assert len(socket.messages) == 1


async def test_a_legacy_server_is_sent_text_for_each_request() -> None:
    sent: list[Any] = []

    class Plain(DirectSocket):
        def write(self, data: Any) -> None:
            sent.append(data)

    async with World() as world:
        await world.attach(Plain(), LegacyClientProtocol())
        world.outbox.push(frame(1))
        world.outbox.push(frame(2))
        await turn()
        assert sent == ['{"type":"state"}'] * 2
