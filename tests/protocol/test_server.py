"""ServerProtocol: the server's half of the handshake, fencing, and replies that cannot be sent."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from openenv.client.link.segment import answer_offer
from openenv.errors import LocalProtocolError, PayloadError, RemoteProtocolError
from openenv.protocol import frames as f
from openenv.protocol import pieces
from openenv.protocol.client import ClientProtocol
from openenv.protocol.columns import STEPS
from openenv.protocol.link import Link, size_bytes
from openenv.protocol.peer import LinkState
from openenv.protocol.pieces import SHARED_MEMORY
from openenv.protocol.server import ServerProtocol, error_frame, read_hello
from openenv.protocol.wire import JSON, MSGPACK, Wire
from openenv.server.links.segment import Segment, make_segment
from tests.protocol.links import (
    BOTH,
    TOKEN,
    Unencodable,
    begun,
    plain,
    receive_all,
    reconnect,
    wire_name,
)

both_wires = pytest.mark.parametrize("wire", BOTH, ids=wire_name)


# ---------------------------------------------------------------- hello


@both_wires
def test_a_hello_is_read(wire: Wire) -> None:
    hello = f.ClientHello(token="t", received=3, max_message_bytes=2048)
    assert read_hello(wire, wire.encode(hello)) == hello


@both_wires
@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (["hello", 2], "version 2"),
        (["hello", 1, None, -1], "received"),
        (["hello", 1, None, 0, 1023], "max_message_bytes"),
        (["reset", 1, 1], "hello"),
        ([0, []], "hello"),
    ],
)
def test_an_illegal_first_message(wire: Wire, array: Any, complaint: str) -> None:
    with pytest.raises(RemoteProtocolError, match=complaint):
        read_hello(wire, wire.encode(array))


@both_wires
def test_the_answer_says_what_the_server_is(wire: Wire) -> None:
    server = ServerProtocol(
        wire, TOKEN, grace_s=9.0, keepalive_s=20.0, max_message_bytes=4096, environment="Echo"
    )
    [greeting] = server.attach(f.ClientHello(max_message_bytes=2048))
    assert wire.decode_hello(greeting, f.ServerHello) == f.ServerHello(
        token=TOKEN,
        resumed=False,
        received=0,
        max_message_bytes=4096,
        grace_s=9.0,
        keepalive_s=20.0,
        environment="Echo",
        capabilities=[STEPS],
    )
    assert server.peer_max_message_bytes == 2048
    assert server.state is LinkState.LIVE


@both_wires
@pytest.mark.parametrize("stale", ["", "another"])
def test_a_new_link_owes_its_client_nothing_of_an_older_one(wire: Wire, stale: str) -> None:
    server = ServerProtocol(wire, TOKEN)
    [greeting] = server.attach(f.ClientHello(token=stale, received=12))
    assert wire.decode_hello(greeting, f.ServerHello).resumed is False


# ---------------------------------------------------------------- resuming and fencing


@both_wires
@pytest.mark.parametrize("received", range(5))
def test_a_resumed_link_sends_what_its_client_lacks(wire: Wire, received: int) -> None:
    _, server = begun(wire)
    replies = [server.send([f.Opened(number, "s")])[0] for number in (1, 2, 3)]
    server.receive(wire.encode((1, ())))  # the client has seen the first
    server.detach()
    hello = f.ClientHello(token=TOKEN, received=received)

    assert server.can_resume(wire, hello) is (received in (1, 2, 3))
    if server.can_resume(wire, hello):
        greeting, *missing = server.attach(hello)
        assert wire.decode_hello(greeting, f.ServerHello).resumed is True
        assert missing == replies[received:]


@pytest.mark.parametrize(
    ("wire", "token", "is_ended", "can_resume"),
    [
        (MSGPACK, TOKEN, False, True),
        (JSON, TOKEN, False, False),
        (MSGPACK, "another", False, False),
        (MSGPACK, None, False, False),
        (MSGPACK, TOKEN, True, False),
    ],
)
def test_who_may_resume(wire: Wire, token: Any, is_ended: bool, can_resume: bool) -> None:
    _, server = begun(MSGPACK)
    if is_ended:
        server.end()
    assert server.can_resume(wire, f.ClientHello(token=token)) is can_resume


@both_wires
def test_a_newer_socket_takes_the_link_over_from_a_live_one(wire: Wire) -> None:
    client, server = begun(wire)
    server.send([f.Opened(1, "s")])  # lost with the old socket
    assert server.state is LinkState.LIVE
    client.detach()
    assert server.can_resume(wire, read_hello(wire, client.hello()))
    _, missing = reconnect(client, server)
    assert missing == [f.Opened(1, "s")]
    assert server.state is LinkState.LIVE


def test_a_link_that_has_ended_takes_no_socket() -> None:
    _, server = begun(MSGPACK)
    server.end()
    with pytest.raises(LocalProtocolError, match="cannot attach"):
        server.attach(f.ClientHello(token=TOKEN))


# ---------------------------------------------------------------- replies that cannot be sent


def errors_of(wire: Wire, server: ServerProtocol, *frames: f.Frame) -> list[tuple[int, str]]:
    messages = server.send(list(frames))
    client = wire.decoder(f.ServerFrame)
    replies = [frame for message in messages for frame in client.decode(message)[1]]
    assert all(size_bytes(message) <= server.peer_max_message_bytes for message in messages)
    return [(reply.id, getattr(reply, "code", "")) for reply in replies]


@both_wires
@pytest.mark.parametrize("cls", [f.Result, f.Partial, f.StateReply])
def test_a_reply_that_cannot_be_encoded_becomes_an_error(wire: Wire, cls: Any) -> None:
    _, server = begun(wire)
    frames = [f.Opened(1, "s"), cls(2, {"x": Unencodable()}), f.Opened(3, "s")]
    assert errors_of(wire, server, *frames) == [(1, ""), (2, "PAYLOAD_ERROR"), (3, "")]


@both_wires
def test_a_reply_over_the_limit_of_the_client_becomes_an_error(wire: Wire) -> None:
    _, server = begun(wire)
    server.attach(f.ClientHello(token=TOKEN, max_message_bytes=1024))
    frames = [f.Opened(1, "s"), f.Result(2, "x" * 1024), f.Opened(3, "s")]
    assert errors_of(wire, server, *frames) == [(1, ""), (2, "PAYLOAD_TOO_LARGE"), (3, "")]


@both_wires
@pytest.mark.parametrize(
    ("message", "code"), [("x" * 5000, "PAYLOAD_TOO_LARGE"), ("\ud800", "PAYLOAD_ERROR")]
)
def test_an_error_that_cannot_be_sent_becomes_one_that_can(
    wire: Wire, message: str, code: str
) -> None:
    _, server = begun(wire)
    server.attach(f.ClientHello(token=TOKEN, max_message_bytes=1024))
    assert errors_of(wire, server, f.Error(2, "ENVIRONMENT_FAULT", message)) == [(2, code)]


@both_wires
def test_an_event_that_cannot_be_sent_is_an_error_of_its_watch(wire: Wire) -> None:
    _, server = begun(wire)
    summary = f.Summary(session="a1", environment="Echo", observation=Unencodable())
    assert errors_of(wire, server, f.Event(16, [summary])) == [(16, "PAYLOAD_ERROR")]


@both_wires
def test_a_server_says_whether_its_sessions_may_be_watched(wire: Wire) -> None:
    [greeting] = ServerProtocol(wire, TOKEN, allows_watch=True).attach(f.ClientHello())
    assert wire.decode_hello(greeting, f.ServerHello).capabilities == [STEPS, f.WATCH]


@both_wires
def test_what_only_a_server_sends_is_no_request(wire: Wire) -> None:
    _, server = begun(wire)
    [malformed] = receive_all(server, [wire.encode((0, [f.Opened(5, "s")]))])
    assert (type(malformed), malformed.id) == (f.Malformed, 5)


# ---------------------------------------------------------------- shared memory


LARGE = np.arange(100_000, dtype=np.uint8)


def is_open(descriptor: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith("/memfd:")
    except FileNotFoundError:
        return False


class Sharing:
    """Both sides of a link whose client says what it can, and all that the server has made."""

    def __init__(self, capabilities: Sequence[str] = (SHARED_MEMORY,), count: int = 1) -> None:
        self.made: list[Segment] = []
        self._count = count
        self.client = ClientProtocol(MSGPACK)
        self.server = ServerProtocol(MSGPACK, TOKEN, make_segment=self._make)
        [greeting] = self.server.attach(f.ClientHello(capabilities=list(capabilities)))
        assert self.client.attach(greeting) == []

    def _make(self, link: Link) -> Segment | None:
        if len(self.made) == self._count:
            return None
        segment = make_segment(link, 1 << 20)
        assert segment is not None
        self.made.append(segment)
        return segment

    def send(self, *frames: f.Frame) -> tuple[list[f.Frame], list[int]]:
        """Return the frames that arrive, and the sizes of their messages."""
        messages = self.server.send(list(frames))
        return receive_all(self.client, messages), [len(message) for message in messages]

    def answer(self, offer: Any, **other: Any) -> None:
        answer = answer_offer(self.client, msgspec.structs.replace(offer, **other))
        [arrived] = receive_all(self.server, self.client.send([answer]))
        self.server.take_answer(is_mapped=arrived.is_mapped)

    def is_open(self) -> list[bool]:
        return [is_open(segment.offer.descriptor) for segment in self.made]


@pytest.fixture
def sharing() -> Iterator[Callable[..., Sharing]]:
    all_made: list[Sharing] = []

    def make(*arguments: Any, **options: Any) -> Sharing:
        all_made.append(Sharing(*arguments, **options))
        return all_made[-1]

    yield make
    for one in all_made:
        one.server.end()


def test_memory_is_offered_once_after_the_first_large_message(sharing: Any) -> None:
    both = sharing()
    assert len(both.send(f.Opened(1, "s"))[0]) == 1
    assert both.made == []
    [_, offer], _ = both.send(f.Result(2, LARGE))
    assert offer == both.made[0].offer
    frames, sizes = both.send(f.Result(3, LARGE))
    assert [frame.id for frame in frames] == [3]
    assert sizes > [LARGE.nbytes]


def test_arrays_go_through_memory_from_when_the_client_has_mapped_it(sharing: Any) -> None:
    both = sharing()
    [_, offer], _ = both.send(f.Result(2, LARGE))
    both.answer(offer)
    [result], [size] = both.send(f.Result(3, {"pixels": LARGE}))
    assert size < 1000
    assert np.array_equal(plain(result, MSGPACK).observation["pixels"], LARGE)


def test_a_client_that_cannot_map_it_is_never_asked_again(sharing: Any) -> None:
    both = sharing(count=2)
    [_, offer], _ = both.send(f.Result(2, LARGE))
    both.answer(offer, nonce=bytes(16))
    assert both.is_open() == [False]
    both.answer(offer)
    frames, _ = both.send(f.Result(3, LARGE), f.Result(4, LARGE))
    assert [frame.id for frame in frames] == [3, 4]
    assert both.is_open() == [False]


def test_without_memory_there_is_no_offer(sharing: Any) -> None:
    frames, _ = sharing(count=0).send(f.Result(2, LARGE))
    assert len(frames) == 1


def test_who_does_not_say_that_it_can_is_offered_nothing(sharing: Any) -> None:
    both = sharing(capabilities=["something else"])
    frames, _ = both.send(f.Result(2, LARGE))
    assert len(frames) == 1
    assert both.made == []


def test_an_answer_that_nobody_asked_for_changes_nothing(sharing: Any) -> None:
    both = sharing()
    for is_mapped in (True, False):
        both.server.take_answer(is_mapped=is_mapped)
    frames, _ = both.send(f.Result(2, LARGE))
    assert len(frames) == 2
    both.answer(frames[1])
    both.server.take_answer(is_mapped=False)
    assert both.send(f.Result(3, LARGE))[1] < [1000]
    assert both.is_open() == [True]


@pytest.mark.parametrize("is_answered", [True, False])
def test_memory_ends_with_its_link_and_not_with_a_socket(sharing: Any, is_answered: bool) -> None:
    both = sharing()
    [_, offer], _ = both.send(f.Result(2, LARGE))
    if is_answered:
        both.answer(offer)
    both.server.detach()
    assert both.is_open() == [True]
    both.server.end()
    both.server.end()
    assert both.is_open() == [False]


def test_what_lies_in_memory_is_still_there_when_it_is_sent_again(sharing: Any) -> None:
    both = sharing()
    [_, offer], _ = both.send(f.Result(2, LARGE))
    both.answer(offer)
    lost = [LARGE + n for n in range(1, 4)]
    for n, array in enumerate(lost):
        both.server.send([f.Result(3 + n, array)])
    both.client.detach()
    both.server.detach()
    _, again = reconnect(both.client, both.server)
    for frame, array in zip(again, lost, strict=True):
        assert np.array_equal(plain(frame, MSGPACK).observation, array)


def test_limits_are_those_of_the_message_when_it_is_joined(sharing: Any) -> None:
    both = sharing()
    [_, offer], _ = both.send(f.Result(2, LARGE))
    both.answer(offer)
    both.server.peer_max_message_bytes = 90_000
    [error], _ = both.send(f.Result(3, LARGE))
    assert (error.id, error.code) == (3, "PAYLOAD_TOO_LARGE")
    both.server.peer_max_message_bytes = f.MAX_MESSAGE_BYTES
    # Nor do large ones share a message, of which one would keep the others in memory.
    frames, sizes = both.send(f.Result(4, LARGE), f.Result(5, LARGE))
    assert [frame.id for frame in frames] == [4, 5]
    assert len(sizes) == 2
    both.client.max_message_bytes = 90_000
    with pytest.raises(RemoteProtocolError, match="in pieces, but at most 90000"):
        both.send(f.Result(6, LARGE))


def test_a_message_counts_as_received_only_when_it_is_joined(sharing: Any) -> None:
    both = sharing()
    [_, offer], _ = both.send(f.Result(2, LARGE))
    both.answer(offer)
    received = both.client.link.received
    with pytest.raises(RemoteProtocolError):
        both.client.receive(pieces.write([b"", b""], [(1 << 20, 1)]))
    assert both.client.link.received == received


def test_an_exception_becomes_an_error_frame_with_its_code_and_details() -> None:
    error = PayloadError("wrong", path=".amount")
    assert error_frame(7, error) == f.Error(7, "PAYLOAD_ERROR", "wrong", False, {"path": ".amount"})
