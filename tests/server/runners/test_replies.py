"""Replies: what environments take, return and raise, as frames."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from openenv.errors import (
    EnvironmentFault,
    NotReset,
    OpenEnvError,
    PayloadError,
    RequestCancelled,
    Unsupported,
)
from openenv.protocol.frames import Error, GetState, Partial, Result, StateReply, Step, Steps
from openenv.server.runners.queries import EnvironmentQuery
from openenv.server.runners.replies import Replies


@dataclass
class Move:
    x: int


@dataclass
class Seen:
    y: int
    reward: float = 0.0
    done: bool = False


class FakeBound:
    """Returns what it is made with; remembers how it was called."""

    def __init__(self, returned: Any = None) -> None:
        self.returned = returned
        self.calls: list[Any] = []

    def step(self, action: Any, **options: Any) -> Any:
        self.calls.append((action, options))
        if isinstance(self.returned, BaseException):
            raise self.returned
        return self.returned


def made(*, takes_timeout: bool = False, debug: bool = False) -> Replies:
    return Replies("env", Move, Seen, Any, takes_timeout=takes_timeout, debug=debug)


def packed(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


MOVE = packed({"x": 1})


def stepped(replies: Replies, bound: Any, frame: Step) -> Result:
    return replies.step(bound, frame, "msgpack")


# ---- one step


def test_a_step_s_observation_is_taken_apart() -> None:
    bound = FakeBound(Seen(2, 1.5, True))
    for number in (3, 4):  # the second time its class is known
        reply = stepped(made(), bound, Step(number, 1, MOVE))
        assert (reply.id, reply.reward, reply.done) == (number, 1.5, True)
    assert bound.calls == [(Move(1), {}), (Move(1), {})]


@pytest.mark.parametrize(
    ("takes_timeout", "timeout_s", "options"),
    [(True, 5.0, {"timeout_s": 5.0}), (True, None, {}), (False, 5.0, {}), (False, None, {})],
)
def test_a_step_gets_its_timeout_if_it_takes_one(
    takes_timeout: bool, timeout_s: float | None, options: dict[str, Any]
) -> None:
    bound: Any = FakeBound(Seen(2))
    replies = made(takes_timeout=takes_timeout)
    frame = Step(3, 1, MOVE, timeout_s)
    replies.step(bound, frame, "msgpack")
    replies.step_call(bound, frame, "msgpack")()
    assert bound.calls == [(Move(1), options)] * 2


@pytest.mark.parametrize("action", [{"x": "one"}, {}, 5, None])
def test_an_action_of_another_shape_is_refused_before_anything_has_run(action: Any) -> None:
    bound: Any = FakeBound(Seen(2))
    frame = Step(3, 1, packed(action))
    for call in (made().step, made().step_call):
        with pytest.raises(PayloadError):
            call(bound, frame, "msgpack")
    assert bound.calls == []


def test_bytes_that_are_no_action_at_all_are_refused() -> None:
    for encoding in ("msgpack", "json"):
        with pytest.raises(PayloadError):
            made().step(FakeBound(), Step(3, 1, msgspec.Raw(b"\xc1")), encoding)  # type: ignore[arg-type]


def test_what_a_step_raises_is_the_environment_s_fault() -> None:
    error = ValueError("as asked")
    with pytest.raises(EnvironmentFault) as raised:
        stepped(made(), FakeBound(error), Step(3, 1, MOVE))
    assert raised.value.remote_type == "ValueError"
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("returned", [{"y": 1}, 5, None])
def test_what_is_no_observation_of_the_class_is_a_fault(returned: Any) -> None:
    replies = made()
    with pytest.raises(EnvironmentFault):
        stepped(replies, FakeBound(returned), Step(3, 1, MOVE))
    # Nothing of it is remembered.
    assert stepped(replies, FakeBound(Seen(2)), Step(3, 1, MOVE)).reward == 0.0


def test_a_coroutine_from_an_ordinary_step_is_a_fault_and_is_closed() -> None:
    async def step() -> Seen:
        return Seen(2)

    with pytest.raises(EnvironmentFault, match=r"functools\.wraps"):
        stepped(made(), FakeBound(step()), Step(3, 1, MOVE))


# ---- many steps


def test_actions_of_many_steps_are_decoded_at_once() -> None:
    frame = Steps([3, 4], [1, 2], packed([{"x": 1}, {"x": 2}]))
    assert made().decode_actions(frame, "msgpack") == [Move(1), Move(2)]
    assert made(takes_timeout=True).decode_actions(frame, "msgpack") == [Move(1), Move(2)]


def test_steps_with_a_timeout_are_taken_singly_if_the_environment_wants_it() -> None:
    frame = Steps([3], [1], packed([{"x": 1}]), 5.0)
    assert made(takes_timeout=True).decode_actions(frame, "msgpack") is None
    assert made().decode_actions(frame, "msgpack") == [Move(1)]


def test_observations_are_taken_apart_in_columns_if_all_are_of_the_class() -> None:
    replies = made()
    columns = replies.columns([Seen(1, 0.5), Seen(2, 1.5, True)])
    assert columns is not None
    assert replies.columns([{"y": 1}]) is None
    assert replies.columns([Seen(1), {"y": 1}]) is None


# ---- frames


def test_a_partial_observation_has_all_that_a_result_has() -> None:
    partial = made().partial(Step(3, 1, MOVE), Seen(2, 1.5))
    assert type(partial) is Partial
    assert (partial.id, partial.reward, partial.done) == (3, 1.5, False)


def test_a_state_travels_as_it_is_or_as_pydantic_dumps_it() -> None:
    class Model:
        def model_dump(self) -> dict[str, Any]:
            return {"dumped": True}

    assert made().state_reply(GetState(3, 1), {"a": 1}) == StateReply(3, {"a": 1})
    assert made().state_reply(GetState(3, 1), Model()) == StateReply(3, {"dumped": True})


def test_a_picture_that_was_not_drawn_is_no_fault_and_one_that_cannot_be_shown_is() -> None:
    class Broken:
        def save(self, *_: Any, **__: Any) -> None:
            raise ValueError("as asked")

    query = EnvironmentQuery(3, 1, "render")
    assert made().state_reply(query, "text").state["data"] == b"text"
    with pytest.raises(Unsupported):
        made().state_reply(query, None)
    with pytest.raises(EnvironmentFault):
        made().state_reply(query, Broken())


# ---- errors


@pytest.mark.parametrize(
    ("error", "code", "type_name"),
    [
        (ValueError("as asked"), "ENVIRONMENT_FAULT", "ValueError"),
        (SystemExit(3), "ENVIRONMENT_FAULT", "SystemExit"),
        # An environment may speak of itself in errors of this package...
        (EnvironmentFault("mine", "Mine"), "ENVIRONMENT_FAULT", "Mine"),
        (Unsupported("not here"), "UNSUPPORTED", None),
        # ... but neither of its client's payload nor of the session.
        (PayloadError("yours"), "ENVIRONMENT_FAULT", "PayloadError"),
        (NotReset("yours"), "ENVIRONMENT_FAULT", "NotReset"),
    ],
)
def test_what_an_environment_raises_is_told_by_a_code(
    error: BaseException, code: str, type_name: str | None
) -> None:
    fault = made().fault(error)
    assert fault.code == code
    assert getattr(fault, "remote_type", None) == type_name


@pytest.mark.parametrize("debug", [False, True])
def test_a_traceback_is_sent_only_if_the_server_debugs(debug: bool) -> None:
    faults: list[Any] = [
        made(debug=debug).fault(ValueError("as asked")),
        made(debug=debug).factory_fault(ValueError("as asked")),
    ]
    for fault in faults:
        assert (fault.traceback is not None) is debug
        assert ("ValueError" in (fault.traceback or "")) is debug


def test_an_exception_without_a_text_is_told_by_its_name() -> None:
    assert "KeyError" in str(made().fault(KeyError()))
    assert "sys.exit" in str(made().fault(SystemExit(3)))


@pytest.mark.parametrize(
    ("error", "code"),
    [(RequestCancelled("given up"), "CANCELLED"), (ValueError("ouch"), "ENVIRONMENT_FAULT")],
)
def test_an_error_of_this_package_reaches_the_client_as_it_is(error: Exception, code: str) -> None:
    frame = made().error(3, error)
    assert type(frame) is Error
    assert (frame.id, frame.code) == (3, code)


def test_a_factory_s_fault_names_the_environment_and_what_it_raised() -> None:
    fault = made().factory_fault(ValueError("as asked"))
    assert isinstance(fault, OpenEnvError)
    assert fault.code == "ENVIRONMENT_FACTORY_FAILED"
    assert fault.details["remote_type"] == "ValueError"
    assert "env" in str(fault)
