"""The object form of a result has the keys that clients of every release read."""

from typing import Any

import msgspec
import pytest

from openenv.protocol.frames import Result
from openenv.protocol.result_object import ResultObject, reply_object, result_object

BARE = {"observation": {"x": 1}, "reward": 0.5, "done": False}


@pytest.mark.parametrize(
    ("result", "content", "reply"),
    [
        (Result(1, {"x": 1}, 0.5), BARE, BARE),
        (Result(1, {"x": 1}, 0.5, metadata={}), BARE, BARE),
        (Result(1, {"x": 1}, 0.5, done=True), BARE | {"done": True}, BARE | {"done": True}),
        (
            Result(1, {"x": 1}, 0.5, truncated=True),
            BARE | {"truncated": True},
            BARE | {"done": True, "truncated": True},
        ),
        (
            Result(1, {"x": 1}, 0.5, metadata={"a": 1}),
            BARE | {"metadata": {"a": 1}},
            BARE | {"metadata": {"a": 1}},
        ),
        (
            Result(1, {"x": 1}),
            BARE | {"reward": None},
            BARE | {"reward": None},
        ),
    ],
)
def test_keys_that_say_nothing_are_left_out(
    result: Result, content: dict[str, Any], reply: dict[str, Any]
) -> None:
    assert result_object(result) == content
    assert reply_object(result) == reply


def test_an_object_is_read_with_or_without_the_optional_keys() -> None:
    decode = msgspec.json.Decoder(ResultObject).decode
    bare = decode(b'{"observation": {"x": 1}}').to_result(7)
    assert (bare.id, bytes(bare.observation)) == (7, b'{"x": 1}')
    assert (bare.reward, bare.done, bare.truncated, bare.metadata) == (None, False, False, None)
    full = decode(
        b'{"observation": 1, "reward": 2, "done": true, "truncated": true, "metadata": {"a": 1}}'
    ).to_result(8)
    assert (full.reward, full.done, full.truncated, full.metadata) == (2, True, True, {"a": 1})


def test_an_object_without_an_observation_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"reward": 1}', type=ResultObject)
