"""Whatever comes in, it is frames or a RemoteProtocolError; never another exception."""

import json
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openenv.errors import RemoteProtocolError
from openenv.protocol import frames as f
from openenv.protocol.client import ClientProtocol
from openenv.protocol.legacy import LegacyClientProtocol, LegacyServerProtocol
from openenv.protocol.server import read_hello
from openenv.protocol.wire import JSON, MSGPACK, Wire
from tests.property.strategies import ANY_TEXT, PAYLOADS, mutated
from tests.protocol.links import BOTH, begun, wire_name
from tests.vectors import samples

both_wires = pytest.mark.parametrize("wire", BOTH, ids=wire_name)

CLIENT = list(samples.CLIENT_FRAMES.values())
SERVER = list(samples.SERVER_FRAMES.values())
HELLOS = [*samples.CLIENT_HELLOS.values(), *samples.SERVER_HELLOS.values()]

REQUESTS = (*get_args(f.ClientFrame), f.Malformed)
REPLIES = get_args(f.ServerFrame)


def outcome(receive: Callable[[Any], Any], data: Any) -> Any:
    try:
        return receive(data)
    except RemoteProtocolError:
        return None


def messages(wire: Wire, frames: list[Any]) -> list[Any]:
    alone: list[Any] = [wire.encode((0, [frame])) for frame in frames]
    return [*alone, wire.encode((0, frames)), wire.encode((0, ()))]


def anything(originals: list[Any]) -> st.SearchStrategy[Any]:
    return mutated(originals) | st.binary() | ANY_TEXT | PAYLOADS.map(json.dumps)


ANYTHING = {
    (wire, side): anything(messages(wire, frames))
    for wire in BOTH
    for side, frames in (("client", CLIENT), ("server", SERVER))
}
ANY_HELLO = {wire: anything([wire.encode(hello) for hello in HELLOS]) for wire in BOTH}


@both_wires
@given(data=st.data())
def test_a_server_receives_requests_or_nothing(wire: Wire, data: st.DataObject) -> None:
    _, server = begun(wire)
    frames = outcome(server.receive, data.draw(ANYTHING[wire, "client"]))
    assert all(isinstance(frame, REQUESTS) for frame in frames or ())


@both_wires
@given(data=st.data())
def test_a_client_receives_replies_or_nothing(wire: Wire, data: st.DataObject) -> None:
    client, _ = begun(wire)
    frames = outcome(client.receive, data.draw(ANYTHING[wire, "server"]))
    assert all(isinstance(frame, REPLIES) for frame in frames or ())


@both_wires
@given(data=st.data())
def test_a_server_reads_a_hello_or_nothing(wire: Wire, data: st.DataObject) -> None:
    hello = outcome(lambda one: read_hello(wire, one), data.draw(ANY_HELLO[wire]))
    assert hello is None or hello.version == 1


@both_wires
@given(data=st.data())
def test_a_client_begins_a_link_or_does_not(wire: Wire, data: st.DataObject) -> None:
    client = ClientProtocol(wire)
    assert outcome(client.attach, data.draw(ANY_HELLO[wire])) in ([], None)


@both_wires
@given(data=st.data())
def test_a_client_resumes_a_link_or_loses_it(wire: Wire, data: st.DataObject) -> None:
    client, _ = begun(wire)
    client.detach()
    assert outcome(client.attach, data.draw(ANY_HELLO[wire])) in ([], None)


LEGACY = [
    '{"type":"reset","data":{"seed":3,"episode_id":"e","size":[1,2]}}',
    '{"type":"step","data":{"message":"h\\u00e9","x":NaN}}',
    '{"type":"state"}',
    '{"type":"close"}',
    '{"type":"mcp","data":{"jsonrpc":"2.0","id":1,"method":"tools/list"}}',
    '{"type":"observation","data":{"observation":{"a":1},"reward":1.5,"done":false}}',
    '{"type":"state","data":{"step_count":1}}',
    '{"type":"error","data":{"message":"m","code":"VALIDATION_ERROR","errors":[{"loc":["a",1]}]}}',
]
ANYTHING_LEGACY = anything(LEGACY)


@given(ANYTHING_LEGACY)
def test_a_legacy_server_always_receives_one_request(data: Any) -> None:
    [frame] = LegacyServerProtocol().receive(data)
    assert isinstance(frame, REQUESTS)


@given(ANYTHING_LEGACY, st.sampled_from([f.GetState(1, 1), f.Step(1, 1, {}), f.Reset(1, 1), None]))
def test_a_legacy_client_receives_a_reply_or_nothing(data: Any, asked: Any) -> None:
    client = LegacyClientProtocol()
    client.send([asked] if asked is not None else [])
    frames = outcome(client.receive, data)
    assert all(isinstance(frame, REPLIES) for frame in frames or ())


# ---------------------------------------------------------------- neighbours


ANY_JSON_FRAME = PAYLOADS.map(json.dumps) | mutated(
    [msgspec.json.encode(frame).decode() for frame in CLIENT]
).filter(lambda text: _is_json(text))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@given(ANY_JSON_FRAME)
def test_any_json_in_place_of_a_frame_leaves_its_neighbours_alone(text: str) -> None:
    _, server = begun(JSON)
    before, _, after = server.receive(f'[0, [["close", 7, 1], {text}, ["close", 8, 1]]]')
    assert (before, after) == (f.Close(7, 1), f.Close(8, 1))


def _is_one_value(data: bytes) -> bool:
    try:
        msgspec.msgpack.decode(data, type=msgspec.Raw)
        return len(msgspec.msgpack.decode(b"\x92" + data + b"\x00", type=list[msgspec.Raw])) == 2
    except ValueError:
        return False


@given(
    (
        PAYLOADS.map(msgspec.msgpack.encode)
        | mutated([MSGPACK.encode(frame) for frame in CLIENT])
        | st.binary(min_size=1, max_size=12)
    ).filter(_is_one_value)
)
def test_any_msgpack_in_place_of_a_frame_leaves_its_neighbours_alone(data: bytes) -> None:
    _, server = begun(MSGPACK)
    good = [msgspec.msgpack.encode(["close", number, 1]) for number in (7, 8)]
    before, _, after = server.receive(b"\x92\x00\x93" + good[0] + data + good[1])
    assert (before, after) == (f.Close(7, 1), f.Close(8, 1))
