"""What the server itself asks of an environment, and what comes back."""

from typing import Any

import msgspec
import pytest

from openenv.environment import Environment
from openenv.protocol.frames import GetState
from openenv.server.runners.pictures import SVG
from openenv.server.runners.queries import EnvironmentQuery, has, query_result


class Drawing(Environment[Any, Any, Any]):
    message_to_action = None

    def render(self) -> str: ...


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {"words": ["hello"]}


@pytest.mark.parametrize(
    ("cls", "method", "is_there"),
    [
        (Drawing, "render", True),
        (Drawing, "message_to_action", False),
        (Environment, "render", False),
    ],
)
def test_only_a_method_can_be_asked(cls: type, method: str, is_there: bool) -> None:
    assert has(cls, method) is is_there


def test_a_picture_becomes_a_media_type_and_bytes() -> None:
    result = query_result(EnvironmentQuery(1, 1, "render"), "<svg/>")
    assert result == {"media_type": SVG, "data": b"<svg/>"}


@pytest.mark.parametrize(
    ("returned", "result"), [({"words": []}, {"words": []}), (Model(), {"words": ["hello"]})]
)
def test_an_action_stays_as_it_is_or_as_pydantic_dumps_it(returned: Any, result: Any) -> None:
    query = EnvironmentQuery(1, 1, "message_to_action", ({"content": "hello"},))
    assert query_result(query, returned) == result


def test_a_query_takes_the_way_of_a_request_for_the_state_and_is_told_from_one() -> None:
    query = EnvironmentQuery(1, 1, "render", ("human",))
    assert isinstance(query, GetState)
    union = GetState | EnvironmentQuery
    for frame in (query, GetState(1, 1)):
        decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(frame), type=union)
        assert type(decoded) is type(frame)
        assert decoded == frame
