"""HTTP bodies on the client's side: what is sent, and what answers and refusals mean."""

from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from openenv.client.http.bodies import decode_result, decode_token, encode, error_of
from openenv.errors import (
    EnvironmentFault,
    OpenEnvError,
    PayloadError,
    RemoteProtocolError,
    SessionCapacityError,
    TransportError,
)


def refusal(status: int, content: Any, media_type: str = "application/json") -> httpx.Response:
    data = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return httpx.Response(status, content=data, headers={"content-type": media_type})


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (refusal(503, {"code": "CAPACITY_REACHED", "message": "full"}), SessionCapacityError),
        (refusal(422, {"code": "PAYLOAD_ERROR", "message": "m", "details": 5}), PayloadError),
        (refusal(422, {"detail": []}), PayloadError),
        (refusal(500, b"Internal Server Error", "text/plain"), EnvironmentFault),
        (refusal(502, b"<html>", "text/html"), TransportError),
        (refusal(503, {"code": "A_LATER_CODE"}), TransportError),
        (refusal(404, ["no", "object"]), RemoteProtocolError),
        (refusal(500, b"\xc1", "application/msgpack"), EnvironmentFault),
        (refusal(500, {"code": ["unhashable"]}), EnvironmentFault),
    ],
)
def test_a_refusal_is_known_by_its_code_or_else_by_its_status(
    response: httpx.Response, error: type[OpenEnvError]
) -> None:
    assert type(error_of(response)) is error


def test_an_error_keeps_the_details_that_it_knows() -> None:
    details = {"active_sessions": 2, "max_sessions": 2, "retry_after_s": 1.5, "later": 1}
    content = {"code": "CAPACITY_REACHED", "message": "full", "details": details}
    data = msgspec.msgpack.encode(content)
    error = error_of(refusal(503, data, "application/msgpack"))
    assert isinstance(error, SessionCapacityError)
    assert (str(error), error.max_sessions, error.retry_after_s) == ("full", 2, 1.5)


def test_a_refusal_in_another_form_is_shown_in_part() -> None:
    said = str(error_of(refusal(418, b"x" * 5000, "text/plain")))
    assert "418" in said
    assert len(said) < 500


def test_a_result_needs_no_more_than_an_observation() -> None:
    result = decode_result(7, b'{"observation": {"a": 1}, "later": true}', "json")
    assert (result.id, bytes(result.observation)) == (7, b'{"a": 1}')
    assert (result.reward, result.done, result.truncated) == (None, False, False)


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b'{"observation": 1, "done": "no"}'])
def test_what_is_no_result_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_result(1, data, "json")


@pytest.mark.parametrize("content", [{}, {"session_id": 5}, []])
def test_what_names_no_session_is_a_protocol_error(content: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_token(refusal(201, content))


def test_arrays_are_bytes_in_msgpack_and_lists_in_json() -> None:
    content = {"a": np.arange(2), "b": np.float64(0.5)}
    assert encode(content, "json") == b'{"a":[0,1],"b":0.5}'
    assert type(msgspec.msgpack.decode(encode(content, "msgpack"))["a"]) is msgspec.msgpack.Ext


@pytest.mark.parametrize(
    ("encoding", "value"),
    [
        ("json", object()),
        ("msgpack", object()),
        ("msgpack", 1 << 70),
        ("msgpack", np.array(["text"])),
    ],
)
def test_what_cannot_be_encoded_is_a_payload_error(encoding: Any, value: Any) -> None:
    with pytest.raises(PayloadError):
        encode({"a": value}, encoding)
