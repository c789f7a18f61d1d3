"""ClientProtocol: the client's half of the handshake, its ids, and what it refuses to send."""

from typing import Any

import pytest

from openenv.errors import LocalProtocolError, RemoteProtocolError
from openenv.protocol import frames as f
from openenv.protocol.client import ClientProtocol
from openenv.protocol.columns import STEPS
from openenv.protocol.peer import LinkState
from openenv.protocol.pieces import SHARED_MEMORY
from openenv.protocol.wire import MSGPACK, Wire
from tests.protocol.links import BOTH, TOKEN, Unencodable, begun, reconnect, wire_name

both_wires = pytest.mark.parametrize("wire", BOTH, ids=wire_name)


def hello_of(wire: Wire, **fields: Any) -> Any:
    return wire.encode(f.ServerHello(**({"token": TOKEN} | fields)))


# ---------------------------------------------------------------- hello


@both_wires
def test_the_first_hello_begins_a_link(wire: Wire) -> None:
    client = ClientProtocol(wire, max_message_bytes=5000)
    hello = wire.decode_hello(client.hello(), f.ClientHello)
    # JSON has no place for bytes that lie elsewhere.
    capabilities = [SHARED_MEMORY] if wire is MSGPACK else []
    assert hello == f.ClientHello(
        token=None, received=0, max_message_bytes=5000, capabilities=capabilities
    )


@both_wires
def test_later_hellos_name_the_link_and_what_has_arrived(wire: Wire) -> None:
    client, server = begun(wire)
    client.receive(server.send([f.Opened(1, "s")])[0])
    client.detach()
    hello = wire.decode_hello(client.hello(), f.ClientHello)
    assert (hello.token, hello.received) == (TOKEN, 1)


@both_wires
def test_what_the_server_says_of_itself_is_remembered(wire: Wire) -> None:
    client = ClientProtocol(wire)
    greeting = hello_of(wire, max_message_bytes=4096, grace_s=7.0, environment="Echo")
    assert client.attach(greeting) == []
    assert client.state is LinkState.LIVE
    assert client.token == TOKEN
    assert client.peer_max_message_bytes == 4096
    assert (client.server.grace_s, client.server.environment) == (7.0, "Echo")


@both_wires
def test_a_server_that_does_not_know_the_link_has_begun_a_new_one(wire: Wire) -> None:
    client, _ = begun(wire)
    client.send([f.Close(1, 1)])
    client.detach()
    assert client.attach(hello_of(wire, token="another")) is None
    assert client.state is LinkState.ENDED
    # The same hello begins the new link.
    assert ClientProtocol(wire).attach(hello_of(wire, token="another")) == []


@both_wires
@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"resumed": True}, "not this one"),
        ({"received": 1}, "new"),
        ({"version": 2}, "version 2"),
        ({"max_message_bytes": 0}, "max_message_bytes"),
        ({"received": -1}, "received"),
        ({"grace_s": -1.0}, "grace_s|0.0"),
    ],
)
def test_an_illegal_answer_to_the_first_hello(wire: Wire, fields: Any, complaint: str) -> None:
    client = ClientProtocol(wire)
    with pytest.raises(RemoteProtocolError, match=complaint):
        client.attach(hello_of(wire, **fields))
    assert client.state is LinkState.DETACHED
    assert client.token is None


@both_wires
@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"token": "another"}, "not this one"),
        ({"received": 0}, "not this one"),
        ({"received": 4}, "not this one"),
        ({"received": 3, "version": 0}, "version 0"),
    ],
)
def test_an_illegal_answer_to_a_later_hello(wire: Wire, fields: Any, complaint: str) -> None:
    client, _ = begun(wire)
    for number in (1, 2, 3):
        client.send([f.Close(number, 1)])
    client.receive(wire.encode((1, ())))
    client.detach()
    with pytest.raises(RemoteProtocolError, match=complaint):
        client.attach(hello_of(wire, resumed=True, **fields))
    assert client.state is LinkState.DETACHED


def test_a_socket_may_be_replaced_before_its_loss_is_noticed() -> None:
    client, server = begun(MSGPACK)
    client.send([f.Close(1, 1)])
    assert client.state is LinkState.LIVE
    received, _ = reconnect(client, server)
    assert received == [f.Close(1, 1)]


def test_a_link_that_has_ended_cannot_be_resumed() -> None:
    client, _ = begun(MSGPACK)
    client.end()
    with pytest.raises(LocalProtocolError, match="cannot attach"):
        client.attach(hello_of(MSGPACK, resumed=True))


# ---------------------------------------------------------------- requests and replies


def test_ids_and_session_numbers_count_from_one() -> None:
    client = ClientProtocol(MSGPACK)
    assert [client.next_id() for _ in range(3)] == [1, 2, 3]
    assert [client.next_session() for _ in range(3)] == [1, 2, 3]


@both_wires
def test_a_reply_that_cannot_be_read_is_an_error_for_its_caller(wire: Wire) -> None:
    client, _ = begun(wire)
    good, bad = ["opened", 1, "s"], ["result", 2]
    opened, error = client.receive(wire.encode((0, [good, bad])))
    assert opened == f.Opened(1, "s")
    assert (type(error), error.id, error.code) == (f.Error, 2, "PROTOCOL_ERROR")
    assert error.message.startswith("the reply cannot be read: ")


@both_wires
def test_what_only_a_client_sends_is_no_reply(wire: Wire) -> None:
    client, _ = begun(wire)
    [error] = client.receive(wire.encode((0, [f.Open(4, 1)])))
    assert (error.id, error.code) == (4, "PROTOCOL_ERROR")


@both_wires
def test_what_cannot_be_sent_is_answered_here_and_once(wire: Wire) -> None:
    client, _ = begun(wire)
    giant = f.Step(1, 1, "x" * 2000)
    client.peer_max_message_bytes = 1024
    assert client.send([giant, f.Step(2, 1, Unencodable())]) == []
    assert [(one.id, one.code) for one in client.take_local_replies()] == [
        (1, "PAYLOAD_TOO_LARGE"),
        (2, "PAYLOAD_ERROR"),
    ]
    assert client.take_local_replies() == []
    assert client.link.sent == 0


@both_wires
def test_a_client_knows_what_the_server_said_it_can_do(wire: Wire) -> None:
    client, _ = begun(wire)
    assert client.capabilities == [STEPS]
    assert ClientProtocol(wire).capabilities == []
