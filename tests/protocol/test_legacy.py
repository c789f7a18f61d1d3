"""The legacy dialect: its messages as our frames, and our frames as its messages."""

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from openenv.errors import TABLE, RemoteProtocolError, from_wire, to_wire
from openenv.protocol import frames as f
from openenv.protocol.legacy import SESSION, LegacyClientProtocol, LegacyServerProtocol
from openenv.protocol.peer import LinkState
from openenv.protocol.wire import JSON
from tests.protocol.links import Unencodable, plain

DEEP = "[" * 100_000


def requested(text: Any) -> Any:
    """Return the frame that a server makes of a client's message."""
    [frame] = LegacyServerProtocol().receive(text)
    return plain(frame, JSON)


def written(*frames: Any) -> list[Any]:
    """Return what a server writes for its frames."""
    texts = LegacyServerProtocol().send(list(frames))
    return [json.loads(text) for text in texts]


def refused(text: Any) -> Any:
    """Return what a server answers to a message that is none."""
    malformed = requested(text)
    assert type(malformed) is f.Malformed
    # The server's boundary puts what is malformed into an error frame.
    [answer] = written(f.Error(malformed.id, "PROTOCOL_ERROR", malformed.message))
    assert answer["type"] == "error"
    return answer["data"]


# ---------------------------------------------------------------- server: requests


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('{"type":"reset"}', f.Reset(1, SESSION)),
        ('{"type":"reset","data":{}}', f.Reset(1, SESSION)),
        ('{"type":"reset","data":null}', f.Reset(1, SESSION)),
        ('{"type":"reset","data":{"seed":-5}}', f.Reset(1, SESSION, -5)),
        ('{"type":"reset","data":{"seed":null,"episode_id":null}}', f.Reset(1, SESSION)),
        (
            '{"type":"reset","data":{"episode_id":"e","difficulty":"hard","seed":3}}',
            f.Reset(1, SESSION, 3, "e", {"difficulty": "hard"}),
        ),
        ('{"type":"step","data":{"message":"hi"}}', f.Step(1, SESSION, {"message": "hi"})),
        ('{"data":{"a":1},"type":"step"}', f.Step(1, SESSION, {"a": 1})),
        ('{"type":"step"}', f.Step(1, SESSION, {})),
        ('{"type":"step","data":[1]}', f.Step(1, SESSION, [1])),
        ('{"type":"state"}', f.GetState(1, SESSION)),
        ('{"type":"state","data":{}}', f.GetState(1, SESSION)),
        ('{"type":"close"}', f.Close(1, SESSION)),
        ('{"type":"state","unknown":1}', f.GetState(1, SESSION)),
        # Python's json writes these.
        ('{"type":"step","data":{"x":[NaN,-Infinity]}}', f.Step(1, 1, {"x": ["NaN", "-Infinity"]})),
        ('{"type":"reset","data":{"x":Infinity}}', f.Reset(1, 1, options={"x": "Infinity"})),
    ],
)
def test_what_a_legacy_client_asks(text: str, frame: f.Frame) -> None:
    assert requested(text) == frame


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "INVALID_JSON"),
        ("{not json", "INVALID_JSON"),
        ('{"type":"reset"', "INVALID_JSON"),
        ('{"type":"state"} {}', "INVALID_JSON"),
        (r'{"type":"step","data":{"x":"\ud800"}}', "INVALID_JSON"),
        ('{"type":"step","data":{"x":"\ud800"}}', "INVALID_JSON"),
        (DEEP, "UNKNOWN_TYPE"),
        ('{"type":"step","data":' + DEEP, "INVALID_JSON"),
        (b'{"type":"state"}', "INVALID_JSON"),
        (b"\xff\x00", "INVALID_JSON"),
        ("{}", "UNKNOWN_TYPE"),
        ("[]", "UNKNOWN_TYPE"),
        ('["state"]', "UNKNOWN_TYPE"),
        ("17", "UNKNOWN_TYPE"),
        ("null", "UNKNOWN_TYPE"),
        ('{"type":null}', "UNKNOWN_TYPE"),
        ('{"type":7,"x":NaN}', "UNKNOWN_TYPE"),
        ('{"type":"dance"}', "UNKNOWN_TYPE"),
        ('{"type":"reset","data":[1]}', "VALIDATION_ERROR"),
        ('{"type":"reset","data":"seed"}', "VALIDATION_ERROR"),
        ('{"type":"reset","data":{"seed":"abc"}}', "VALIDATION_ERROR"),
        ('{"type":"reset","data":{"seed":1.5}}', "VALIDATION_ERROR"),
        ('{"type":"reset","data":{"episode_id":7}}', "VALIDATION_ERROR"),
        ('{"type":"reset","data":{"x":1e999}}', "VALIDATION_ERROR"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_a_legacy_client_may_not_send_is_answered(text: Any, code: str) -> None:
    data = refused(text)
    assert data["code"] == code
    assert data["message"]
    assert not data["message"].startswith(code)


def test_replies_are_sent_all_at_once() -> None:
    frames: list[Any] = [f.StateReply(1, {"a": 1}), f.StateReply(2, {"a": 2})]
    texts = LegacyServerProtocol().send_first(frames)
    assert [json.loads(text)["data"] for text in texts] == [{"a": 1}, {"a": 2}]
    assert not frames


def test_requests_are_sent_all_at_once() -> None:
    frames: list[Any] = [f.GetState(1, 1), f.Cancel(1, 1), f.Close(2, 1)]
    texts = LegacyClientProtocol().send_first(frames)
    assert [json.loads(text)["type"] for text in texts] == ["state", "close"]
    assert not frames


@pytest.mark.parametrize("protocol", [LegacyServerProtocol(), LegacyClientProtocol()])
def test_nothing_is_acknowledged(protocol: Any) -> None:
    assert protocol.acknowledgement() is None


@pytest.mark.parametrize("event", ["detach", "end"])
def test_a_legacy_link_ends_with_its_socket(event: str) -> None:
    server = LegacyServerProtocol()
    assert server.state is LinkState.LIVE
    getattr(server, event)()
    assert server.state is LinkState.ENDED


def test_requests_are_numbered_in_their_order() -> None:
    server = LegacyServerProtocol()
    assert server.open() == f.Open(1, SESSION)
    texts: list[Any] = ['{"type":"state"}', "nonsense", '{"type":"close"}']
    assert [server.receive(text)[0].id for text in texts] == [2, 3, 4]


# ---------------------------------------------------------------- server: replies


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            f.Result(1, {"x": 1}, 1.5, True),
            {"type": "observation", "data": {"observation": {"x": 1}, "reward": 1.5, "done": True}},
        ),
        (
            f.Result(1, {}),
            {"type": "observation", "data": {"observation": {}, "reward": None, "done": False}},
        ),
        (
            f.Result(1, {}, truncated=True, metadata={"lives": 2}),
            {
                "type": "observation",
                "data": {
                    "observation": {},
                    "reward": None,
                    "done": True,
                    "truncated": True,
                    "metadata": {"lives": 2},
                },
            },
        ),
        (f.StateReply(1, {"step_count": 2}), {"type": "state", "data": {"step_count": 2}}),
    ],
)
def test_what_a_legacy_client_is_told(frame: f.Frame, message: Any) -> None:
    assert written(frame) == [message]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_non_finite_numbers_are_null(number: float) -> None:
    [message] = written(f.Result(1, {"x": [number]}, number))
    assert message["data"] == {"observation": {"x": [None]}, "reward": None, "done": False}


@pytest.mark.parametrize(
    "frame", [f.Opened(1, "s"), f.Closed(2, 1), f.Partial(3, {}), f.Event(None, {})]
)
def test_what_the_dialect_lacks_is_not_sent(frame: f.Frame) -> None:
    assert written(frame) == []


@pytest.mark.parametrize("frame", [f.Result(1, Unencodable()), f.StateReply(1, {"x": 1j})])
def test_a_reply_that_cannot_be_encoded_is_an_error(frame: f.Frame) -> None:
    [message, after] = written(frame, f.StateReply(2, {}))
    assert (message["type"], message["data"]["code"]) == ("error", "EXECUTION_ERROR")
    assert after == {"type": "state", "data": {}}


CODES = {
    "PAYLOAD_ERROR": "VALIDATION_ERROR",
    "CAPACITY_REACHED": "CAPACITY_REACHED",
    "ENVIRONMENT_FACTORY_FAILED": "FACTORY_ERROR",
    "UNSUPPORTED": "UNKNOWN_TYPE",
    "SESSION_NOT_FOUND": "SESSION_ERROR",
    "SESSION_EXPIRED": "SESSION_ERROR",
    "SERVER_CLOSING": "SESSION_ERROR",
}


@pytest.mark.parametrize("code", TABLE)
def test_every_error_has_a_legacy_code(code: str) -> None:
    [message] = written(f.Error(1, code, "what: happened"))
    assert message["type"] == "error"
    assert message["data"]["code"] == CODES.get(code, "EXECUTION_ERROR")
    assert message["data"]["message"] == "what: happened"


@pytest.mark.parametrize(
    ("error", "extra"),
    [
        (
            f.Error(1, "CAPACITY_REACHED", "full", True, {"active_sessions": 2, "max_sessions": 2}),
            {"active_sessions": 2, "max_sessions": 2},
        ),
        (
            f.Error(1, "ENVIRONMENT_FACTORY_FAILED", "no", False, {"factory_name": "Echo"}),
            {"factory_name": "Echo"},
        ),
        (f.Error(1, "ENVIRONMENT_FAULT", "no", False, {"remote_type": "KeyError"}), {}),
        (
            f.Error(1, "PAYLOAD_ERROR", "bad", False, {"path": ".moves[2].piece"}),
            {"errors": [{"type": "value_error", "loc": ["moves", 2, "piece"], "msg": "bad"}]},
        ),
        (
            f.Error(1, "PAYLOAD_ERROR", "bad"),
            {"errors": [{"type": "value_error", "loc": [], "msg": "bad"}]},
        ),
    ],
)
def test_errors_carry_what_the_dialect_has_keys_for(error: f.Error, extra: Any) -> None:
    [message] = written(error)
    data = message["data"]
    assert {name: data[name] for name in data if name not in ("message", "code")} == extra


# ---------------------------------------------------------------- client: requests


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (f.Reset(1, 1), {"type": "reset", "data": {}}),
        (
            f.Reset(1, 1, 3, "e", {"size": 4}),
            {"type": "reset", "data": {"seed": 3, "episode_id": "e", "size": 4}},
        ),
        (f.Step(1, 1, {"a": 1}, timeout_s=2.0), {"type": "step", "data": {"a": 1}}),
        (f.GetState(1, 1), {"type": "state"}),
        (f.Close(1, 1), {"type": "close"}),
    ],
)
def test_what_a_legacy_server_is_asked(frame: f.Frame, message: Any) -> None:
    assert [json.loads(text) for text in LegacyClientProtocol().send([frame])] == [message]


@pytest.mark.parametrize(
    ("frame", "reply"),
    [
        (f.Open(1, 1), f.Opened(1, "")),
        (f.Watch(1), "UNSUPPORTED"),
        (f.Step(1, 1, Unencodable()), "PAYLOAD_ERROR"),
    ],
)
def test_what_is_not_asked_is_answered_here_and_once(frame: f.Frame, reply: Any) -> None:
    client = LegacyClientProtocol()
    assert client.send([frame]) == []
    [answer] = client.take_local_replies()
    assert answer == reply or (answer.id, answer.code) == (1, reply)
    assert client.take_local_replies() == []


def test_a_close_is_sent_and_answered_here() -> None:
    client = LegacyClientProtocol()
    assert client.send([f.Close(5, 1)]) == ['{"type":"close"}']
    assert client.take_local_replies() == [f.Closed(5, SESSION)]


def test_a_cancel_is_neither_sent_nor_answered() -> None:
    client = LegacyClientProtocol()
    assert client.send([f.Cancel(5, 1)]) == []
    assert client.take_local_replies() == []


def test_ids_count_from_one_and_so_do_sessions() -> None:
    client = LegacyClientProtocol()
    assert (client.next_id(), client.next_id(), client.next_session()) == (1, 2, SESSION)


# ---------------------------------------------------------------- client: replies


def answer_to(frame: Any, text: Any) -> Any:
    client = LegacyClientProtocol()
    client.send([frame])
    [reply] = client.receive(text)
    return plain(reply, JSON)


STEP, STATE = f.Step(7, 1, {}), f.GetState(7, 1)


@pytest.mark.parametrize(
    ("request_frame", "text", "reply"),
    [
        (
            STEP,
            '{"type":"observation","data":{"observation":{"x":1},"reward":2.5,"done":true}}',
            f.Result(7, {"x": 1}, 2.5, True),
        ),
        (
            STEP,
            '{"type":"observation","data":{"observation":{},"reward":null,"done":false,'
            '"metadata":{"a":1},"truncated":true,"later":1}}',
            f.Result(7, {}, None, False, True, {"a": 1}),
        ),
        (STEP, '{"type":"observation","data":{"observation":[1]}}', f.Result(7, [1])),
        (STATE, '{"type":"state","data":{"step_count":3}}', f.StateReply(7, {"step_count": 3})),
    ],
)
def test_what_a_legacy_server_answers(request_frame: Any, text: str, reply: f.Frame) -> None:
    assert answer_to(request_frame, text) == reply


def test_replies_belong_to_requests_in_their_order() -> None:
    client = LegacyClientProtocol()
    client.send([f.Reset(3, 1), f.Cancel(3, 1), f.GetState(9, 1), f.Step(4, 1, {})])
    observation = '{"type":"observation","data":{"observation":{}}}'
    texts = [observation, '{"type":"state","data":{}}', observation]
    assert [client.receive(text)[0].id for text in texts] == [3, 9, 4]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (
            {"message": "bad", "code": "VALIDATION_ERROR", "errors": [{"loc": ["moves", 2, "x"]}]},
            ("PAYLOAD_ERROR", "bad", ".moves[2].x"),
        ),
        (
            {"message": "bad", "code": "VALIDATION_ERROR", "errors": [{"loc": "moves"}]},
            ("PAYLOAD_ERROR", "bad", ""),
        ),
        (
            {"message": "bad", "code": "VALIDATION_ERROR", "errors": {}},
            ("PAYLOAD_ERROR", "bad", ""),
        ),
        ({"message": "m", "code": "EXECUTION_ERROR"}, ("ENVIRONMENT_FAULT", "m", None)),
        ({"message": "m", "code": "FACTORY_ERROR"}, ("ENVIRONMENT_FACTORY_FAILED", "m", None)),
        ({"message": "m", "code": "SESSION_ERROR"}, ("SESSION_EXPIRED", "m", None)),
        ({"message": "m", "code": "INVALID_JSON"}, ("PROTOCOL_ERROR", "m", None)),
        ({"message": "m", "code": "UNKNOWN_TYPE"}, ("UNSUPPORTED", "m", None)),
        ({"message": "m", "code": "SOMETHING_ELSE"}, ("ENVIRONMENT_FAULT", "m", None)),
        ({"message": "m"}, ("ENVIRONMENT_FAULT", "m", None)),
        ({}, ("ENVIRONMENT_FAULT", "the server reported an error", None)),
        ("just text", ("ENVIRONMENT_FAULT", "just text", None)),
        (None, ("ENVIRONMENT_FAULT", "None", None)),
    ],
)
def test_errors_of_a_legacy_server_become_ours(data: Any, error: tuple[Any, ...]) -> None:
    reply = answer_to(STEP, json.dumps({"type": "error", "data": data}))
    raised = from_wire(reply.code, reply.message, reply.details)
    assert reply.id == 7
    assert (raised.code, str(raised), getattr(raised, "path", None)) == error


def test_a_full_legacy_server_may_be_asked_again() -> None:
    data = {"message": "2/2", "code": "CAPACITY_REACHED", "active_sessions": 2, "max_sessions": 2}
    reply = answer_to(STEP, json.dumps({"type": "error", "data": data}))
    assert reply.retryable
    assert to_wire(from_wire(reply.code, reply.message, reply.details))[3] == {
        "active_sessions": 2,
        "max_sessions": 2,
    }


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('{"type":"error","data":{"message":"full","code":"CAPACITY_REACHED"}}', [0]),
        ('{"type":"observation","data":{"observation":{}}}', []),
        ('{"type":"later","data":{}}', []),
    ],
)
def test_what_nobody_asked_for_is_an_error_of_nobody_or_nothing(text: str, ids: list[int]) -> None:
    assert [frame.id for frame in LegacyClientProtocol().receive(text)] == ids


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"type":1}', b'{"type":"state"}', DEEP, "\ud800"]
)
def test_what_is_no_reply_at_all_is_illegal(text: Any) -> None:
    client = LegacyClientProtocol()
    with pytest.raises(RemoteProtocolError):
        client.receive(text)


@pytest.mark.parametrize(
    ("request_frame", "text"),
    [
        (STEP, '{"type":"state","data":{}}'),
        (STATE, '{"type":"observation","data":{"observation":{}}}'),
        (STEP, '{"type":"mcp","data":{}}'),
        (STEP, '{"type":"observation"}'),
        (STEP, '{"type":"observation","data":[]}'),
        (STEP, '{"type":"observation","data":{"reward":1}}'),
        (STEP, '{"type":"observation","data":{"observation":{},"reward":"much"}}'),
        (STEP, '{"type":"observation","data":{"observation":{},"reward":1e999}}'),
        (STEP, '{"type":"error","data":{"message":1e999}}'),
    ],
)
def test_another_reply_than_is_due_is_illegal(request_frame: Any, text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        answer_to(request_frame, text)


def test_raw_payloads_are_sent_as_they_are() -> None:
    texts = LegacyClientProtocol().send([f.Step(1, 1, msgspec.Raw(b'{"a":1}'))])
    assert texts == ['{"type":"step","data":{"a":1}}']
