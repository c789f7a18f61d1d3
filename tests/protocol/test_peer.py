"""Peer: frames to messages and back over a link, whatever happens to its sockets."""

from typing import Any

import msgspec
import numpy as np
import pytest

from openenv.arrays import VIEW_MIN_BYTES
from openenv.errors import LocalProtocolError, RemoteProtocolError
from openenv.protocol import frames as f
from openenv.protocol import pieces
from openenv.protocol.link import size_bytes
from openenv.protocol.peer import TRANSITIONS, LinkState, Peer, check_hello
from openenv.protocol.wire import JSON, MSGPACK, Wire
from tests.protocol.links import BOTH, Unencodable, begun, plain, receive_all, reconnect, wire_name

both_wires = pytest.mark.parametrize("wire", BOTH, ids=wire_name)

DETACHED, LIVE, ENDED = LinkState


def step(number: int, action: Any = None) -> f.Step:
    return f.Step(number, 1, action)


def steps(*numbers: int) -> list[f.Step]:
    return [step(number) for number in numbers]


def ids(frames: Any) -> list[int]:
    return [frame.id for frame in frames]


def sent_ids(wire: Wire, messages: list[Any]) -> list[list[int]]:
    """Return the ids of the frames of each message."""
    return [ids(wire.decoder(f.ServerFrame).decode(one)[1]) for one in messages]


# ---------------------------------------------------------------- states


def peer_in(state: LinkState, wire: Wire = MSGPACK) -> Any:
    client, _ = begun(wire)
    if state is DETACHED:
        client.detach()
    elif state is ENDED:
        client.end()
    return client


def attach(peer: Any) -> None:
    peer._attach(f.MAX_MESSAGE_BYTES)


WHAT_HAPPENS = {"attach": attach, "detach": Peer.detach, "end": Peer.end}


def test_the_table_names_only_what_happens() -> None:
    assert {what for _, what in TRANSITIONS} == set(WHAT_HAPPENS)


@pytest.mark.parametrize("what", WHAT_HAPPENS)
@pytest.mark.parametrize("state", LinkState)
def test_every_cell_of_the_table(state: LinkState, what: str) -> None:
    peer = peer_in(state)
    then = TRANSITIONS.get((state, what))
    if then is None:
        with pytest.raises(LocalProtocolError, match=f"cannot {what} a link that is {state.value}"):
            WHAT_HAPPENS[what](peer)
        assert peer.state is state
    else:
        WHAT_HAPPENS[what](peer)
        assert peer.state is then


def test_only_an_ended_link_cannot_be_attached() -> None:
    illegal = {(state, what) for state in LinkState for what in WHAT_HAPPENS} - set(TRANSITIONS)
    assert illegal == {(ENDED, "attach")}


def test_a_link_begins_detached() -> None:
    assert Peer(MSGPACK, MSGPACK.decoder(f.ServerFrame)).state is DETACHED


@pytest.mark.parametrize("state", [DETACHED, ENDED])
def test_nothing_is_received_without_a_socket(state: LinkState) -> None:
    with pytest.raises(LocalProtocolError, match=state.value):
        peer_in(state).receive(MSGPACK.encode((0, ())))


def test_nothing_is_sent_first_on_a_link_that_has_ended() -> None:
    with pytest.raises(LocalProtocolError):
        peer_in(ENDED).send_first([step(1)])


def test_nothing_is_sent_on_a_link_that_has_ended() -> None:
    with pytest.raises(LocalProtocolError, match="ended"):
        peer_in(ENDED).send(steps(1))


def test_what_is_sent_while_detached_is_kept_for_the_next_socket() -> None:
    client, server = begun(MSGPACK)
    client.detach()
    client.send(steps(1))
    client.send(steps(2))
    received, _ = reconnect(client, server)
    assert ids(received) == [1, 2]


# ---------------------------------------------------------------- hellos


@pytest.mark.parametrize("cls", [f.ClientHello, f.ServerHello])
@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"version": 2}, "version 2"),
        ({"version": 0}, "version 0"),
        ({"received": -1}, "received"),
        ({"max_message_bytes": 1023}, "max_message_bytes"),
        ({"max_message_bytes": -1}, "max_message_bytes"),
    ],
)
def test_a_hello_that_makes_no_sense_is_illegal(cls: Any, fields: Any, complaint: str) -> None:
    with pytest.raises(RemoteProtocolError, match=complaint):
        check_hello(cls(**fields))


@pytest.mark.parametrize("fields", [{}, {"received": 2**60}, {"max_message_bytes": 1024}])
def test_a_hello_that_makes_sense_is_legal(fields: Any) -> None:
    check_hello(f.ClientHello(**fields))
    check_hello(f.ServerHello(**fields))


# ---------------------------------------------------------------- messages and acknowledgements


@both_wires
def test_frames_that_are_sent_together_arrive_together(wire: Wire) -> None:
    client, server = begun(wire)
    [message] = client.send(steps(1, 2, 3))
    assert ids(server.receive(message)) == [1, 2, 3]
    assert (client.link.sent, server.link.received) == (1, 1)


def test_nothing_to_send_is_no_message() -> None:
    client, _ = begun(MSGPACK)
    assert client.send([]) == []
    assert client.link.sent == 0


@both_wires
def test_a_reply_acknowledges_what_was_received(wire: Wire) -> None:
    client, server = begun(wire)
    server.receive(client.send(steps(1))[0])
    server.receive(client.send(steps(2))[0])
    assert client.link.kept_bytes > 0
    client.receive(server.send([f.Opened(1, "s")])[0])
    assert client.link.acknowledged == 2
    assert client.link.kept_bytes == 0
    assert not server.link.owes_acknowledgement


@both_wires
def test_an_acknowledgement_alone_is_not_numbered(wire: Wire) -> None:
    client, server = begun(wire)
    assert server.acknowledgement() is None
    server.receive(client.send(steps(1))[0])
    acknowledgement = server.acknowledgement()
    assert acknowledgement is not None
    assert server.acknowledgement() is None
    assert client.receive(acknowledgement) == []
    assert (client.link.acknowledged, client.link.received, server.link.sent) == (1, 0, 0)


@both_wires
@pytest.mark.parametrize("number", [-1, 2, 2**40])
def test_acknowledging_what_was_never_sent_is_illegal(wire: Wire, number: int) -> None:
    client, _ = begun(wire)
    client.send(steps(1))
    with pytest.raises(RemoteProtocolError, match="acknowledged"):
        client.receive(wire.encode((number, [f.Opened(1, "s")])))


@both_wires
def test_a_message_of_malformed_frames_has_a_number_too(wire: Wire) -> None:
    _, server = begun(wire)
    [malformed] = server.receive(wire.encode((0, [["nonsense", 5]])))
    assert type(malformed) is f.Malformed
    assert server.link.received == 1


@both_wires
def test_a_broken_message_has_no_number(wire: Wire) -> None:
    _, server = begun(wire)
    with pytest.raises(RemoteProtocolError):
        server.receive(wire.encode("nonsense"))
    assert server.link.received == 0


# ---------------------------------------------------------------- reconnecting


@both_wires
@pytest.mark.parametrize("arrived", range(4))
@pytest.mark.parametrize("replies_arrived", range(4))
def test_a_link_goes_on_from_every_point(wire: Wire, arrived: int, replies_arrived: int) -> None:
    client, server = begun(wire)
    requests = [client.send(steps(number))[0] for number in (1, 2, 3)]
    seen = receive_all(server, requests[:arrived])
    replies = [server.send([f.Opened(number, "s")])[0] for number in (1, 2, 3)]
    answered = receive_all(client, replies[:replies_arrived])
    client.detach()
    server.detach()

    missing, missing_replies = reconnect(client, server)

    assert ids(seen) + ids(missing) == [1, 2, 3]
    assert ids(answered) + ids(missing_replies) == [1, 2, 3]


@both_wires
def test_messages_that_are_sent_again_carry_old_acknowledgements(wire: Wire) -> None:
    client, server = begun(wire)
    client.send(steps(1))  # acknowledges 0, and is lost
    client.receive(server.send([f.Opened(1, "s")])[0])
    server.receive(client.acknowledgement() or b"")
    assert server.link.acknowledged == 1

    missing, _ = reconnect(client, server)

    assert ids(missing) == [1]
    assert server.link.acknowledged == 1
    assert server.link.kept_bytes == 0


def test_a_second_loss_loses_nothing_either() -> None:
    client, server = begun(MSGPACK)
    client.send(steps(1))
    client.detach()
    greeting = server.attach(f.ClientHello(token=server.token))
    client.attach(greeting[0])  # what the server lacks is lost with this socket too
    client.send(steps(2))
    client.detach()
    missing, _ = reconnect(client, server)
    assert ids(missing) == [1, 2]


def test_a_hello_announces_what_was_received_so_that_no_acknowledgement_is_owed() -> None:
    client, server = begun(MSGPACK)
    server.receive(client.send(steps(1))[0])
    reconnect(client, server)
    assert client.link.kept_bytes == 0
    assert server.acknowledgement() is None


# ---------------------------------------------------------------- sizes


@both_wires
@pytest.mark.parametrize("number", [2, 7, 1000, 20_000])
def test_messages_grow_up_to_the_size_at_which_frames_stop_sharing(wire: Wire, number: int) -> None:
    client, server = begun(wire)
    expected = list(range(1, number + 1))
    for _ in range(3):
        messages = client.send([step(one, "x" * (one % 200)) for one in expected])
        assert ids(receive_all(server, messages)) == expected
        assert max(map(size_bytes, messages)) <= f.COALESCE_BYTES
        smallest = sum(map(size_bytes, messages)) / f.COALESCE_BYTES
        assert len(messages) <= 3 * smallest + 1


@both_wires
def test_who_looks_between_messages_sends_one_at_a_time(wire: Wire) -> None:
    client, server = begun(wire)
    frames = [f.StateReply(number, "x" * 30_000) for number in range(1, 8)]
    messages = []
    while frames:
        left = len(frames)
        [message] = server.send_first(frames)
        messages += [message]
        assert left - 3 <= len(frames) < left
    assert ids(receive_all(client, messages)) == list(range(1, 8))


@both_wires
def test_who_looks_between_messages_loses_no_neighbour_of_what_cannot_be_sent(wire: Wire) -> None:
    client, server = begun(wire)
    frames = [f.StateReply(number, "x") for number in range(1, 8)]
    frames[3].state = Unencodable()
    messages = []
    while frames:
        messages += server.send_first(frames)
    received = receive_all(client, messages)
    assert ids(received) == list(range(1, 8))
    assert [type(frame) for frame in received] == [f.StateReply] * 3 + [f.Error] + [
        f.StateReply
    ] * 3


@both_wires
def test_a_giant_travels_alone(wire: Wire) -> None:
    _, server = begun(wire)
    small, giant = f.Opened(1, "s"), f.Result(5, "x" * f.COALESCE_BYTES)
    messages = server.send([small, small, giant, small])
    assert [5] in sent_ids(wire, messages)
    assert [number for message in sent_ids(wire, messages) for number in message] == [1, 1, 5, 1]


@pytest.mark.parametrize("place", range(5))
def test_an_array_that_is_read_in_place_pins_nothing_else(place: int) -> None:
    client, server = begun(MSGPACK)
    image = np.arange(VIEW_MIN_BYTES, dtype="u1")
    frames: list[Any] = [f.Result(one, {"small": one}) for one in range(1, 6)]
    frames[place].observation = {"image": image}

    received = [client.receive(message) for message in server.send(frames)]

    assert [number for frames in received for number in ids(frames)] == [1, 2, 3, 4, 5]
    [alone] = [frames for frames in received if place + 1 in ids(frames)]
    assert ids(alone) == [place + 1]
    view = plain(alone[0], MSGPACK).observation["image"]
    assert not view.flags.owndata
    assert np.array_equal(view, image)


@both_wires
def test_after_giants_messages_are_small_from_the_start(wire: Wire) -> None:
    client, _ = begun(wire)
    for _ in range(20):
        messages = client.send([step(one, "x" * 40_000) for one in range(1, 5)])
    assert len(messages) == 4


@both_wires
@pytest.mark.parametrize("letter", ["x", "é", "日"])
def test_a_message_over_the_own_limit_is_illegal(wire: Wire, letter: str) -> None:
    client, server = begun(wire, max_message_bytes=2048)
    client.peer_max_message_bytes = f.MAX_MESSAGE_BYTES  # a client that does not listen
    size = (2048 - 100) // len(letter.encode())
    assert ids(server.receive(client.send([step(1, letter * size)])[0])) == [1]
    with pytest.raises(RemoteProtocolError, match="at most 2048"):
        server.receive(client.send([step(2, letter * (size + 100))])[0])


@both_wires
@pytest.mark.parametrize("letter", ["x", "é", "日"])
def test_a_frame_over_the_limit_of_the_peer_is_refused_and_its_neighbours_are_not(
    wire: Wire, letter: str
) -> None:
    client, server = begun(wire, max_message_bytes=2048)
    count = 2049 // len(letter.encode())
    messages = client.send([step(1, "fits"), step(2, letter * count), step(3, "fits")])
    assert ids(receive_all(server, messages)) == [1, 3]
    assert [(error.id, error.code) for error in client.take_local_replies()] == [
        (2, "PAYLOAD_TOO_LARGE")
    ]
    assert all(size_bytes(message) <= 2048 for message in messages)


@both_wires
def test_messages_stay_within_the_limit_of_the_peer(wire: Wire) -> None:
    client, server = begun(wire, max_message_bytes=1024)
    messages = client.send([step(number, "x" * 500) for number in range(1, 9)])
    assert ids(receive_all(server, messages)) == list(range(1, 9))
    assert max(map(size_bytes, messages)) <= 1024


# ---------------------------------------------------------------- what cannot be sent


@both_wires
@pytest.mark.parametrize("place", range(5))
def test_a_payload_that_cannot_be_encoded_costs_no_other_frame(wire: Wire, place: int) -> None:
    client, server = begun(wire)
    frames = [step(number, {"x": number}) for number in range(1, 6)]
    frames[place].action = {"x": Unencodable()}
    received = receive_all(server, client.send(frames))
    assert ids(received) == [number for number in range(1, 6) if number != place + 1]
    [error] = client.take_local_replies()
    assert (error.id, error.code) == (place + 1, "PAYLOAD_ERROR")
    assert "Step" in error.message


@both_wires
def test_an_error_of_ours_that_encoding_raises_stays_what_it_is(wire: Wire) -> None:
    client, _ = begun(wire)
    assert client.send([step(1, np.array([object()]))]) == []
    [error] = client.take_local_replies()
    assert error.code == "PAYLOAD_ERROR"
    assert error.message.startswith("an array of dtype |O cannot travel")


def test_one_bad_frame_among_many_costs_few_messages() -> None:
    client, server = begun(MSGPACK)
    frames = [step(number, "x") for number in range(1, 513)]
    frames[200].action = Unencodable()
    messages = client.send(frames)
    assert len(receive_all(server, messages)) == 511
    assert len(messages) <= 10


def test_each_side_says_for_itself_that_a_frame_cannot_be_sent() -> None:
    peer = Peer(JSON, JSON.decoder(f.ServerFrame))
    with pytest.raises(NotImplementedError):
        peer.send([step(1, Unencodable())])


def test_raw_payloads_are_sent_as_they_are() -> None:
    client, server = begun(MSGPACK)
    [received] = receive_all(server, client.send([step(1, msgspec.Raw(b"\x07"))]))
    assert plain(received, MSGPACK) == step(1, 7)


@both_wires
def test_a_frame_of_many_rows_is_halved_until_it_fits(wire: Wire) -> None:
    client, server = begun(wire)
    rows = f.Steps([1, 2, 3], [1, 1, 1], ["x" * 40_000] * 3)
    received = receive_all(server, client.send([rows]))
    assert [frame.ids for frame in received] == [[1], [2], [3]]


# ---------------------------------------------------------------- what lies elsewhere


class Elsewhere:
    """Memory that both sides have: writes whole messages there, and reads them."""

    def __init__(self) -> None:
        self.memory = b""

    def encode(self, message: Any) -> tuple[bytes, int]:
        data: Any = MSGPACK.encode(message)
        self.memory += data
        return pieces.write([b"", b""], [(len(self.memory) - len(data), len(data))]), len(data)

    def join(self, data: Any, limit_bytes: int) -> Any:
        return pieces.join(data, memoryview(self.memory), limit_bytes)


def test_what_lies_elsewhere_is_received_as_if_it_had_been_sent() -> None:
    client, server = begun(MSGPACK)
    server.writer = client.reader = Elsewhere()
    sent = [f.Result(n, ["x" * 50_000]) for n in range(3)]
    messages = server.send(list(sent))
    assert [len(message) < 50 for message in messages] == [True] * 3
    assert [plain(frame, MSGPACK) for frame in receive_all(client, messages)] == sent
    assert server.mean_frame_bytes > 1000
    assert client.link.received == server.link.sent == 3


def test_what_is_not_where_it_should_be_was_not_received() -> None:
    client, server = begun(MSGPACK)
    server.writer, client.reader = Elsewhere(), Elsewhere()
    with pytest.raises(RemoteProtocolError):
        receive_all(client, server.send([f.Result(1, None)]))
    assert client.link.received == 0


def test_each_side_measures_a_message_once(monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = begun(JSON)
    measured: list[Any] = []

    def measure(message: Any) -> int:
        measured.append(message)
        return size_bytes(message)

    monkeypatch.setattr("openenv.protocol.peer.size_bytes", measure)
    monkeypatch.setattr("openenv.protocol.link.size_bytes", measure)
    [request] = client.send(steps(1))
    server.receive(request)
    [reply] = server.send([f.Result(1, None)])
    client.receive(reply)
    assert measured == [request, request, reply, reply]
    assert client.link.kept_bytes == 0
