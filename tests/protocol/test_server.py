"""ServerProtocol: the server's half of the handshake, fencing, and replies that cannot be sent."""

from typing import Any

import pytest

from openenv.errors import LocalProtocolError, RemoteProtocolError
from openenv.protocol import frames as f
from openenv.protocol.columns import STEPS
from openenv.protocol.link import size_bytes
from openenv.protocol.peer import LinkState
from openenv.protocol.server import ServerProtocol, read_hello
from openenv.protocol.wire import JSON, MSGPACK, Wire
from tests.protocol.links import BOTH, TOKEN, Unencodable, begun, receive_all, reconnect, wire_name

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
def test_a_spectators_event_that_cannot_be_sent_is_an_error_of_nobody(wire: Wire) -> None:
    _, server = begun(wire)
    assert errors_of(wire, server, f.Event("train", Unencodable())) == [(0, "PAYLOAD_ERROR")]


@both_wires
def test_what_only_a_server_sends_is_no_request(wire: Wire) -> None:
    _, server = begun(wire)
    [malformed] = receive_all(server, [wire.encode((0, [f.Opened(5, "s")]))])
    assert (type(malformed), malformed.id) == (f.Malformed, 5)
