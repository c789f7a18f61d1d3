"""SessionLink: its life over its sockets, and what each kind of frame is answered with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from openenv.protocol import frames as f
from openenv.protocol.peer import LinkState
from openenv.protocol.server import ServerProtocol
from openenv.protocol.wire import MSGPACK
from openenv.server.config import ServerConfig
from openenv.server.host import make_registry
from openenv.server.links.link import SessionLink
from openenv.server.links.outbox import ServerOutbox
from openenv.server.sessions.registry import SessionRegistry
from tests.environments import Counter
from tests.server.links.sockets import DirectSocket


class Talk:
    """A link, and the frames of its client."""

    def __init__(self, registry: SessionRegistry, grace_s: float = 60.0) -> None:
        self.protocol = ServerProtocol(MSGPACK, registry.new_token(), grace_s=grace_s)
        self.link = SessionLink(registry, self.protocol)
        self.socket = DirectSocket()
        registry.add_link(self.link)

    def connect(self, received: int = 0) -> DirectSocket:
        """Attach a new socket and greet it; what the client lacks is repeated on it."""
        self.socket = DirectSocket()
        self.link.attach(self.socket)
        token = self.protocol.token if received or self.protocol.link.sent else None
        _, *repeated = self.protocol.attach(f.ClientHello(token=token, received=received))
        self.link.outbox.writer.greeted()
        for message in repeated:
            self.socket.write(message)
        return self.socket

    def ask(self, *frames: Any) -> list[Any]:
        """Return the replies to frames that come in one message."""
        before = len(self.socket.frames)
        message = MSGPACK.encode((self.protocol.link.sent, frames))
        assert self.link.answer(self.socket, message)
        return self.socket.frames[before:]


@asynccontextmanager
async def talking(**settings: Any) -> AsyncIterator[Talk]:
    registry = make_registry(Counter, config=ServerConfig(**settings))
    await registry.start()
    try:
        talk = Talk(registry)
        talk.connect()
        yield talk
    finally:
        await registry.aclose()


async def test_a_link_is_live_detached_and_ended() -> None:
    async with talking() as talk:
        link = talk.link
        assert (link.is_live, link.is_ended) == (True, False)
        link.detach(talk.socket)
        assert (link.is_live, link.is_ended) == (False, False)
        talk.connect()
        assert link.is_live
        link.end()
        assert (link.is_live, link.is_ended) == (False, True)
        assert talk.protocol.state is LinkState.ENDED


async def test_a_link_that_has_ended_ends_once_and_never_expires() -> None:
    async with talking() as talk:
        talk.link.end()
        talk.link.end()
        talk.link.detach(talk.socket)
        assert not talk.link.is_expired(float("inf"))


async def test_losing_a_socket_that_was_taken_over_changes_nothing() -> None:
    async with talking() as talk:
        old = talk.socket
        new = talk.connect()
        talk.link.detach(old)
        assert talk.link.channel is new
        assert talk.link.is_live


async def test_who_takes_over_is_told_what_to_fence() -> None:
    async with talking() as talk:
        old, new = talk.socket, DirectSocket()
        assert talk.link.attach(new) == (old, asyncio.current_task())
        talk.link.detach(new)
        assert talk.link.attach(DirectSocket()) is None


async def test_grace_begins_when_a_socket_is_lost_and_ends_with_the_next_one() -> None:
    async with talking() as talk:
        lost_at_s = asyncio.get_running_loop().time()
        talk.link.detach(talk.socket)
        assert not talk.link.is_expired(lost_at_s + 59)
        assert talk.link.is_expired(asyncio.get_running_loop().time() + 60)
        talk.connect()
        assert not talk.link.is_expired(float("inf"))


async def test_only_the_socket_that_is_attached_is_answered() -> None:
    async with talking() as talk:
        old = talk.socket
        talk.connect()
        message = MSGPACK.encode((0, [f.Cancel(1, 1)]))
        assert not talk.link.answer(old, message)
        assert talk.protocol.link.received == 0
        talk.socket.room = 0
        assert not talk.link.answer(talk.socket, message)
        assert talk.protocol.link.received == 0


async def test_a_socket_is_asked_once_for_each_message_whether_it_is_writable() -> None:
    async with talking() as talk:
        talk.ask(f.Open(1, 1), f.Reset(2, 1))
        talk.socket.times_asked = 0
        talk.ask(f.Step(3, 1, {"amount": 1}))
        assert talk.socket.times_asked == 1


async def test_an_episode_is_answered_in_order() -> None:
    async with talking() as talk:
        replies = talk.ask(
            f.Open(1, 1), f.Reset(2, 1), f.Step(3, 1, {"amount": 5}), f.GetState(4, 1)
        )
        assert [reply[:2] for reply in replies] == [
            ["opened", 1],
            ["result", 2],
            ["result", 3],
            ["state", 4],
        ]
        assert replies[2][2]["total"] == 5


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (f.Step(9, 7, {}), "SESSION_NOT_FOUND"),
        (f.Reset(9, 7), "SESSION_NOT_FOUND"),
        (f.Open(9, 1), "PROTOCOL_ERROR"),
        (f.Watch(9), "UNSUPPORTED"),
        (f.Unwatch(9, 1), "UNSUPPORTED"),
    ],
)
async def test_a_request_that_cannot_be_served_is_answered_with_its_code(
    frame: Any, code: str
) -> None:
    async with talking() as talk:
        talk.ask(f.Open(1, 1))
        [reply] = talk.ask(frame)
        assert reply[:3] == ["error", 9, code]
        # The link goes on.
        assert talk.ask(f.Reset(10, 1))[0][:2] == ["result", 10]


async def test_a_frame_that_cannot_be_read_is_answered_alone() -> None:
    async with talking() as talk:
        replies = talk.ask(f.Open(1, 1), ["step", 2, "one"], f.Reset(3, 1))
        assert [reply[:2] for reply in replies] == [["opened", 1], ["error", 2], ["result", 3]]


async def test_closing_what_is_not_open_is_answered() -> None:
    async with talking() as talk:
        assert talk.ask(f.Close(5, 9))[0][:3] == ["closed", 5, 9]


async def test_cancelling_what_is_not_open_is_not_answered() -> None:
    async with talking() as talk:
        assert talk.ask(f.Cancel(5, 9)) == []


async def test_steps_in_columns_that_cannot_be_taken_at_once_are_answered_singly() -> None:
    async with talking() as talk:
        talk.ask(f.Open(1, 1), f.Reset(2, 1), f.Open(3, 2))
        steps = f.Steps([4, 5, 6], [1, 2, 3], [{"amount": 1}] * 3)  # type: ignore[arg-type]
        replies = talk.ask(steps)
        assert [(reply[0], reply[1]) for reply in replies] == [
            ("results", [4]),
            ("error", 5),
            ("error", 6),
        ]
        assert [reply[2] for reply in replies[1:]] == ["NOT_RESET", "SESSION_NOT_FOUND"]


async def test_replies_of_a_lost_socket_are_repeated_on_the_next_one() -> None:
    async with talking() as talk:
        talk.ask(f.Open(1, 1), f.Reset(2, 1))
        talk.link.detach(talk.socket)
        talk.link.reply(f.StateReply(3, {}))
        new = talk.connect(received=0)
        assert [frame[:2] for frame in new.frames] == [["opened", 1], ["result", 2], ["state", 3]]


async def test_a_link_whose_replies_overflow_ends_with_its_sessions() -> None:
    async with talking() as talk:
        talk.ask(f.Open(1, 1))
        [session] = talk.link.registry.sessions.values()
        link = SessionLink(
            talk.link.registry, ServerProtocol(MSGPACK, "other", buffer_bytes=10_000)
        )
        link.registry.add_link(link)
        for number in range(200):
            link.reply(f.StateReply(number, b"x" * 1000))
            if link.is_ended:
                break
        assert 15 < number < 40
        # Other links are not touched.
        assert talk.link.registry.sessions == {session.token: session}


async def test_ending_a_link_drops_what_waits() -> None:
    async with talking() as talk:
        talk.link.detach(talk.socket)
        talk.link.end()
        talk.link.reply(f.StateReply(3, {}))
        assert not talk.link.has_unsent
        assert isinstance(talk.link.outbox, ServerOutbox)
        assert not talk.link.outbox.writer.frames
