"""Wire: messages to bytes and back, in both encodings, whatever the bytes."""

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from openenv import arrays
from openenv.errors import RemoteProtocolError
from openenv.protocol import frames as f
from openenv.protocol.wire import JSON, MSGPACK, Wire, choose_subprotocol
from tests.protocol.links import BOTH, PAYLOADS, Unencodable, plain, wire_name
from tests.vectors import samples

CLIENT = {wire: wire.decoder(f.ClientFrame) for wire in BOTH}
SERVER = {wire: wire.decoder(f.ServerFrame) for wire in BOTH}
both_wires = pytest.mark.parametrize("wire", BOTH, ids=wire_name)

GOOD = ["close", 7, 1]
DEEP = 100_000


def message(wire: Wire, *frames: Any, acknowledgement: Any = 3) -> Any:
    """Encode any data as a message, frames or not."""
    return wire.encode((acknowledgement, frames))


def from_client(wire: Wire, *frames: Any) -> list[Any]:
    acknowledgement, decoded = CLIENT[wire].decode(message(wire, *frames))
    assert acknowledgement == 3
    return [plain(frame, wire) for frame in decoded]


def from_server(wire: Wire, *frames: Any) -> list[Any]:
    return [plain(one, wire) for one in SERVER[wire].decode(message(wire, *frames))[1]]


# ---------------------------------------------------------------- round trips


@both_wires
@pytest.mark.parametrize(
    ("decoders", "frame"),
    [(CLIENT, one) for one in samples.CLIENT_FRAMES.values()]
    + [(SERVER, one) for one in samples.SERVER_FRAMES.values()],
    ids=[*samples.CLIENT_FRAMES, *samples.SERVER_FRAMES],
)
def test_every_frame_survives_both_encodings(wire: Wire, decoders: Any, frame: f.Frame) -> None:
    data = message(wire, frame)
    acknowledgement, [decoded] = decoders[wire].decode(data)

    assert acknowledgement == 3
    assert type(decoded) is type(frame)
    assert message(wire, decoded) == data
    plain(decoded, wire)
    for name in set(frame.__struct_fields__).difference(PAYLOADS):
        # By repr, because NaN is not equal to itself and True is to 1.
        assert repr(getattr(decoded, name)) == repr(getattr(frame, name))


@pytest.mark.parametrize(
    "frame",
    [*samples.CLIENT_FRAMES.values(), *samples.SERVER_FRAMES.values()],
    ids=[*samples.CLIENT_FRAMES, *samples.SERVER_FRAMES],
)
def test_json_messages_are_strictly_json(frame: f.Frame) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(message(JSON, frame), parse_constant=refuse)


@both_wires
def test_a_message_without_frames_only_acknowledges(wire: Wire) -> None:
    assert CLIENT[wire].decode(message(wire, acknowledgement=12)) == (12, [])


@both_wires
@pytest.mark.parametrize(
    ("hello", "cls"),
    [(one, f.ClientHello) for one in samples.CLIENT_HELLOS.values()]
    + [(one, f.ServerHello) for one in samples.SERVER_HELLOS.values()],
)
def test_hellos_survive_both_encodings(wire: Wire, hello: f.Frame, cls: Any) -> None:
    assert wire.decode_hello(wire.encode(hello), cls) == hello


def test_payloads_that_came_as_bytes_can_be_sent_on() -> None:
    for wire in BOTH:
        [step] = CLIENT[wire].decode(message(wire, f.Step(1, 1, {"x": [None, 2]})))[1]
        [again] = CLIENT[wire].decode(message(wire, step))[1]
        assert plain(again, wire).action == {"x": [None, 2]}


@pytest.mark.parametrize("payload", [Unencodable(), {"x": Unencodable()}, {"x": None, "y": 1j}])
@both_wires
def test_what_cannot_be_encoded_raises(wire: Wire, payload: Any) -> None:
    with pytest.raises(TypeError):
        message(wire, f.Step(1, 1, payload))


# ---------------------------------------------------------------- other versions


@both_wires
def test_trailing_elements_of_a_later_version_are_ignored(wire: Wire) -> None:
    step = ["step", 6, 1, {"x": 1}, None, False, "new", {"newer": [1]}]
    assert from_client(wire, step, [*GOOD, 1, 2]) == [f.Step(6, 1, {"x": 1}), f.Close(7, 1)]
    hello = wire.encode(["hello", 1, None, 0, 4096, [], {"new": True}])
    assert wire.decode_hello(hello, f.ClientHello) == f.ClientHello(max_message_bytes=4096)


@both_wires
@pytest.mark.parametrize(
    ("array", "frame"),
    [
        (["open", 1, 1], f.Open(1, 1)),
        (["reset", 1, 1], f.Reset(1, 1)),
        (["reset", 1, 1, 42], f.Reset(1, 1, 42)),
        (["step", 1, 1, 5], f.Step(1, 1, 5)),
        (["watch", 1], f.Watch(1)),
    ],
)
def test_trailing_defaults_may_be_left_out(wire: Wire, array: Any, frame: f.Frame) -> None:
    assert from_client(wire, array) == [frame]


# ---------------------------------------------------------------- frames that are none


@both_wires
@pytest.mark.parametrize(
    ("bad", "guessed_id"),
    [
        (["reset", 5, 1, "a seed"], 5),
        (["step", 5, 1], 5),
        (["step", 5, 1, {}, -1.0], 5),
        (["step", 5, 1, {}, 0], 5),
        (["open", 5, 1, -0.5], 5),
        (["unheard of", 5, {"x": 1}], 5),
        (["hello", 1], 1),
        (["result", 5, {}], 5),
        ([None, 5], 5),
        (["close", f.MAX_ID, "x"], f.MAX_ID),
        (["close", f.MAX_ID + 1, 1], 0),
        (["close", 0, 1], 0),
        (["close", -5, 1], 0),
        (["close", 5.0, 1], 0),
        (["close", True, 1], 0),
        (["close", "5", 1], 0),
        (["close"], 0),
        ([], 0),
        ({"close": 5}, 0),
        ("close", 0),
        (5, 0),
        (None, 0),
    ],
    ids=repr,
)
def test_a_malformed_frame_is_malformed_alone(wire: Wire, bad: Any, guessed_id: int) -> None:
    before, malformed, after = from_client(wire, GOOD, bad, GOOD)
    assert before == after == f.Close(7, 1)
    assert type(malformed) is f.Malformed
    assert malformed.id == guessed_id
    assert malformed.message


@both_wires
@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (["dance", 5, 1], (5, "UNSUPPORTED")),
        (["dance", 5], (5, "UNSUPPORTED")),
        (["dance", 1], (1, "UNSUPPORTED")),
        (["step", "5", 1, {}], (0, "PROTOCOL_ERROR")),
        (["fork", 5, "x"], (5, "UNSUPPORTED")),
        (["dance", 0], (0, "PROTOCOL_ERROR")),
        (["dance", "5"], (0, "PROTOCOL_ERROR")),
        (["dance"], (0, "PROTOCOL_ERROR")),
        ([5, 5], (5, "PROTOCOL_ERROR")),
        (["step", 5], (5, "PROTOCOL_ERROR")),
    ],
    ids=repr,
)
def test_only_a_request_of_an_unknown_type_is_unsupported(
    wire: Wire, frame: Any, expected: tuple[int, str]
) -> None:
    before, malformed, after = from_client(wire, GOOD, frame, GOOD)
    assert before == after == f.Close(7, 1)
    assert (malformed.id, malformed.code) == expected


def test_only_fields_of_numbers_hold_spelled_numbers() -> None:
    [frame] = from_client(JSON, ["open", 5, 1, "Infinity", "NaN"])
    assert frame == f.Open(5, 1, float("inf"), "NaN")


def test_text_that_is_no_utf8_costs_no_other_frame() -> None:
    bad = b"\x95\xa5reset\x05\x01\x07\xa2\xff\xfe"
    data = b"\x92\x03\x92" + bad + msgspec.msgpack.encode(GOOD)
    malformed, good = CLIENT[MSGPACK].decode(data)[1]
    assert (type(malformed), malformed.id) == (f.Malformed, 5)
    assert good == f.Close(7, 1)


def test_an_array_that_lies_about_itself_costs_no_other_frame() -> None:
    lie = msgspec.msgpack.Ext(arrays.EXT_CODE, msgspec.msgpack.encode(["<f4", [1000]]) + b"1234")
    malformed, good = from_client(MSGPACK, ["reset", 5, 1, None, None, {"map": lie}], GOOD)
    assert (type(malformed), malformed.id) == (f.Malformed, 5)
    assert good == f.Close(7, 1)


@pytest.mark.parametrize("bad", [r'"\ud83c"', "NaN", "-Infinity"])
def test_what_json_lacks_but_others_write_costs_no_other_frame(bad: str) -> None:
    data = f'[3, [["step", 5, 1, {{"x": {bad}}}], ["close", 7, 1], ["step", 8, 1, [1.5, "é"]]]]'
    malformed, *good = CLIENT[JSON].decode(data)[1]
    assert (type(malformed), malformed.id) == (f.Malformed, 5)
    assert [plain(one, JSON) for one in good] == [f.Close(7, 1), f.Step(8, 1, [1.5, "é"])]


def test_no_id_is_guessed_from_what_cannot_be_read_at_all() -> None:
    bad = b"\x93\xa5close\x81\x81\x01\x01\x01\x01"  # a map with a map as its key
    data = b"\x92\x03\x92" + bad + msgspec.msgpack.encode(GOOD)
    malformed, good = CLIENT[MSGPACK].decode(data)[1]
    assert (type(malformed), malformed.id) == (f.Malformed, 0)
    assert good == f.Close(7, 1)


@both_wires
def test_another_stand_in_for_malformed_frames_can_be_chosen(wire: Wire) -> None:
    decoder = wire.decoder(f.ServerFrame, lambda number, text, code: (number, bool(text), code))
    expected = (5, True, "PROTOCOL_ERROR")
    assert decoder.decode(message(wire, ["opened", 5]))[1] == [expected]


# ---------------------------------------------------------------- messages that are none


@both_wires
@pytest.mark.parametrize(
    "broken",
    [
        [],
        [3],
        [3, [], []],
        [3, GOOD],
        [3, {"close": 7}],
        [3, None],
        ["3", [GOOD]],
        [3.0, [GOOD]],
        [None, [GOOD]],
        {"acknowledgement": 3},
        "text",
        17,
        None,
    ],
    ids=repr,
)
def test_a_message_of_another_shape_is_broken(wire: Wire, broken: Any) -> None:
    if broken == [3, GOOD]:
        # Its elements are taken for frames: each of them is malformed, the message is not.
        assert {type(one) for one in CLIENT[wire].decode(wire.encode(broken))[1]} == {f.Malformed}
        return
    with pytest.raises(RemoteProtocolError, match=r"\[acknowledgement, \[frame"):
        CLIENT[wire].decode(wire.encode(broken))


@pytest.mark.parametrize(
    ("wire", "data"),
    [
        (MSGPACK, b""),
        (MSGPACK, b"\xc1"),
        (MSGPACK, b"\x92\x00"),
        (MSGPACK, b"\x92\x00\x90\x00"),
        (MSGPACK, b"\x92\x00\xdd\xff\xff\xff\xff"),
        (MSGPACK, b"\x92\x00\x91\x94\xa4step\x01\x01" + b"\x91" * DEEP + b"\x00"),
        (MSGPACK, b"\xff" * 100),
        (JSON, ""),
        (JSON, "GET / HTTP/1.1"),
        (JSON, "[0, ["),
        (JSON, "[0, []] []"),
        (JSON, '[0, [["close", 1, 1]]'),
        (JSON, "[NaN, []]"),
        (JSON, "[0, \ud800]"),
        (JSON, "[" * DEEP),
        (JSON, '[0, [["step", 1, 1, ' + "[" * DEEP + "]" * DEEP + "]]]"),
        (JSON, "[0, [" + "1" * 5000 + "]"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bytes_that_are_no_message_are_broken(wire: Wire, data: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        CLIENT[wire].decode(data)


@pytest.mark.parametrize(
    ("wire", "data"), [(MSGPACK, "[0, []]"), (JSON, b"[0, []]"), (JSON, bytearray(b"[0, []]"))]
)
def test_text_where_binary_is_due_is_broken_and_the_reverse(wire: Wire, data: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="carries"):
        CLIENT[wire].decode(data)
    with pytest.raises(RemoteProtocolError, match="carries"):
        wire.decode_hello(data, f.ClientHello)


@both_wires
@pytest.mark.parametrize(
    "array",
    [[], ["hello", "1"], ["reset", 1, 1], {"hello": 1}, ["hello", 1, 17], ["hello", 1, "t", None]],
    ids=repr,
)
def test_a_first_message_that_is_no_hello_is_broken(wire: Wire, array: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="hello"):
        wire.decode_hello(wire.encode(array), f.ClientHello)


# ---------------------------------------------------------------- numbers


NON_FINITE = [("NaN", math.nan), ("Infinity", math.inf), ("-Infinity", -math.inf)]


@pytest.mark.parametrize(("text", "number"), NON_FINITE)
@pytest.mark.parametrize("frame", ["result", "partial"])
def test_a_non_finite_reward_is_spelled_in_json(text: str, number: float, frame: str) -> None:
    cls: Any = f.Result if frame == "result" else f.Partial
    data = message(JSON, cls(6, {"x": number}, number, metadata={"y": [number, 1, None]}))
    assert json.loads(data)[1][0] == [
        *[frame, 6, {"x": text}, text, False, False, {"y": [text, 1, None]}]
    ]
    [decoded] = SERVER[JSON].decode(data)[1]
    assert repr(decoded.reward) == repr(number)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e308, -0.0])
def test_numbers_travel_as_they_are_in_msgpack(number: float) -> None:
    [decoded] = from_server(MSGPACK, f.Result(6, [number], number))
    assert repr(decoded.reward) == repr(number)
    assert repr(decoded.observation) == repr([number])


@pytest.mark.parametrize("spelled", ["nan", "inf", "1.5", "", "Infinity "])
@both_wires
def test_other_strings_are_no_numbers(wire: Wire, spelled: str) -> None:
    [malformed] = from_server(wire, ["result", 6, {}, spelled])
    assert (type(malformed), malformed.id) == (f.Malformed, 6)


def test_spelled_numbers_are_strings_in_msgpack() -> None:
    assert type(from_server(MSGPACK, ["result", 6, {}, "NaN"])[0]) is f.Malformed


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (["step", 6, 1, {}, "Infinity"], math.inf),
        (["step", 6, 1, {}, "-Infinity"], None),
        (["step", 6, 1, {}, "NaN"], None),
        (["open", 6, 1, "Infinity"], math.inf),
        (["open", 6, 1, "NaN"], None),
    ],
    ids=repr,
)
def test_the_limits_of_a_field_hold_for_spelled_numbers(array: Any, expected: Any) -> None:
    [frame] = from_client(JSON, array)
    got = getattr(frame, "timeout_s", getattr(frame, "wait_s", None))
    assert got == expected
    assert (type(frame) is f.Malformed) is (expected is None)


@pytest.mark.parametrize("number", [math.nan, -math.inf, -1.0])
def test_the_limits_of_a_field_hold_in_msgpack(number: float) -> None:
    assert type(from_client(MSGPACK, ["step", 6, 1, {}, number])[0]) is f.Malformed


def test_a_spelled_number_where_none_is_due_stays_a_string() -> None:
    [reset] = from_client(JSON, ["reset", 6, 1, None, "NaN", {"name": "NaN"}])
    assert reset == f.Reset(6, 1, None, "NaN", {"name": "NaN"})


def test_null_is_no_trace_of_a_number_that_was_not_finite() -> None:
    frame = f.Result(6, {"a": None, "b": np.float32("nan")}, metadata={"c": (1, None)})
    assert json.loads(message(JSON, frame))[1][0][2] == {"a": None, "b": "NaN"}


# ---------------------------------------------------------------- arrays


@both_wires
def test_arrays_travel_in_payloads(wire: Wire) -> None:
    board = np.arange(6, dtype="<i2").reshape(2, 3)
    [result] = SERVER[wire].decode(message(wire, f.Result(1, {"board": board})))[1]
    copy = plain(result, wire).observation["board"]
    assert copy.dtype == board.dtype
    assert np.array_equal(copy, board)


def test_arrays_travel_in_options_and_metadata() -> None:
    goal = np.array([0.5, math.nan], "<f4")
    [reset] = from_client(MSGPACK, f.Reset(1, 1, options={"goal": goal}))
    [result] = from_server(MSGPACK, f.Result(1, {}, metadata={"goal": goal}))
    for copy in (reset.options["goal"], result.metadata["goal"]):
        assert copy.dtype == goal.dtype
        assert copy.tobytes() == goal.tobytes()


def test_arrays_in_options_and_metadata_stay_objects_in_json() -> None:
    goal = np.array([1, 2], "|u1")
    [reset] = from_client(JSON, f.Reset(1, 1, options={"goal": goal}))
    assert reset.options == {"goal": {"__array__": "AQI=", "dtype": "|u1", "shape": [2]}}


# ---------------------------------------------------------------- which wire


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["chat", "openenv.v2.msgpack"], None),
        (["openenv.v1.json"], "openenv.v1.json"),
        (["openenv.v1.json", "openenv.v1.msgpack"], "openenv.v1.msgpack"),
        (["chat", "openenv.v1.msgpack"], "openenv.v1.msgpack"),
    ],
)
def test_the_best_wire_that_is_offered_is_chosen(offered: list[str], chosen: str | None) -> None:
    assert choose_subprotocol(offered) == chosen
