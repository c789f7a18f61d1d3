"""The worker's side of the socket: the test is the server, and the worker runs in this process."""

import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from openenv.environment import Environment
from openenv.protocol.frames import (
    Close,
    Closed,
    Error,
    GetState,
    Open,
    Opened,
    Partial,
    Reset,
    Result,
    Step,
)
from openenv.server.runners.spec import EnvironmentSpec
from openenv.server.workers import program
from openenv.server.workers.blueprint import blueprint_of
from openenv.server.workers.frames import (
    Described,
    MessageReader,
    ResetNamed,
    Setup,
    decode_replies,
    encode,
    parts_of,
)
from openenv.server.workers.program import Worker
from tests.worker_environments import Deadly

EMPTY, UNWRITABLE = (
    msgspec.Raw(msgspec.msgpack.encode(action)) for action in ({}, {"do": "unwritable"})
)


class Plain(Environment[dict[str, Any], dict[str, Any], Any]):
    SUPPORTS_CONCURRENT_SESSIONS = True
    log: list[Any]

    def reset(self, seed: int | None = None) -> dict[str, Any]:
        return {"seed": seed, "episode": self.episode_id}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        match action.get("do"):
            case "unwritable":
                return {"x": object()}
            case "metadata":
                return {"metadata": {5: "five"}}
            case "raise":
                raise ValueError("as asked")
        return {"x": 1}

    def close(self) -> None:
        self.log.append("close")


class Streaming(Plain):
    def step(self, action: dict[str, Any]) -> Any:
        for number in range(3):
            yield {"number": number}
            self.log.append(number)


class Unmakeable(Plain):
    def __init__(self) -> None:
        raise ValueError("as asked")


class Server:
    """The server's end of a worker's socket: what it says is written before the worker runs."""

    def __init__(self) -> None:
        self.socket, self.pipe = socket.socketpair()

    def say(self, *frames: Any) -> None:
        for part in parts_of(encode(list(frames))):
            self.socket.sendall(part)

    def run(self, cls: type) -> list[list[Any]]:
        """Let the worker answer all of it, and end; return its replies, message by message."""
        self.socket.shutdown(socket.SHUT_WR)
        log: list[Any] = []
        served = type("Served", (cls,), {"log": log})
        Worker(self.pipe, EnvironmentSpec(served, served, name="served"), MessageReader()).run()
        self.log = log
        self.pipe.shutdown(socket.SHUT_WR)
        data = b""
        while received := self.socket.recv(65536):
            data += received
        return [list(decode_replies(message)) for message in MessageReader().feed(data)]

    def replies(self, cls: type = Plain) -> list[Any]:
        """Let the worker answer all of it; return its replies but what it says of itself."""
        frames = [frame for message in self.run(cls) for frame in message]
        return [frame for frame in frames if type(frame) is not Described]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with server.socket, server.pipe:
        yield server


def test_each_request_is_answered_in_order(server: Server) -> None:
    server.say(Open(1, 1), ResetNamed(1, 1, 7, name="given"), Step(1, 1, EMPTY))
    server.say(GetState(1, 1), Close(1, 1))
    opened, reset, step, state, closed = server.replies()
    assert opened == Opened(1, "")
    assert msgspec.msgpack.decode(reset.observation) == {"seed": 7, "episode": "given"}
    assert msgspec.msgpack.decode(step.observation) == {"x": 1}
    assert msgspec.msgpack.decode(state.state)["step_count"] == 1
    assert closed == Closed(1, 1, "closed")
    assert server.log == ["close"]


def test_the_client_s_name_of_an_episode_comes_before_the_server_s(server: Server) -> None:
    server.say(ResetNamed(1, 1, None, "mine", name="given"))
    [reset] = server.replies()
    assert msgspec.msgpack.decode(reset.observation)["episode"] == "mine"


def test_environments_are_kept_apart_by_their_numbers(server: Server) -> None:
    server.say(ResetNamed(1, 1, 1, name="a"), ResetNamed(2, 1, 2, name="b"), Step(1, 1, EMPTY))
    server.say(GetState(1, 1), GetState(2, 1))
    *_, first, second = server.replies()
    states = [msgspec.msgpack.decode(reply.state) for reply in (first, second)]
    assert [(state["episode_id"], state["step_count"]) for state in states] == [("a", 1), ("b", 0)]


def test_what_is_left_is_closed_when_the_server_is_gone(server: Server) -> None:
    server.say(Open(1, 1), Open(2, 1), Close(2, 1), Open(3, 1))
    server.replies()
    assert server.log == ["close"] * 3


def test_what_an_environment_says_of_itself_is_sent_once_before_the_first_reply(
    server: Server,
) -> None:
    server.say(Open(1, 1), Open(2, 1))
    frames = [frame for message in server.run(Plain) for frame in message]
    assert [type(frame) for frame in frames[:3]] == [Described, Opened, Opened]
    assert frames[0].info.name == "served"


def test_an_environment_that_cannot_be_made_is_forgotten(server: Server) -> None:
    server.say(Open(1, 1))
    [reply] = server.replies(Unmakeable)
    assert reply.code == "ENVIRONMENT_FACTORY_FAILED"
    assert server.log == []


# ---- how clients are spoken to


@pytest.mark.parametrize(
    ("number", "action", "observation"),
    [
        (1, EMPTY, {"x": 1}),
        (2, b"{}", '{"x":1}'),
        (4, EMPTY, {"x": 1}),
        (5, b"{}", {"x": 1}),
    ],
)
def test_each_client_gets_payloads_in_its_format(
    server: Server, number: int, action: Any, observation: Any
) -> None:
    server.say(ResetNamed(1, number, name="a"), Step(1, number, action))
    _, step = server.replies()
    assert msgspec.msgpack.decode(step.observation) == observation


def test_the_first_dialect_may_step_before_reset_and_gets_json(server: Server) -> None:
    server.say(Open(1, 3), Step(1, 3, b"{}"))
    _, step = server.replies()
    assert msgspec.json.decode(msgspec.msgpack.decode(step.observation)) == {"x": 1}


@pytest.mark.parametrize("number", [1, 2, 4, 5])
@pytest.mark.parametrize("what", ["unwritable", "metadata"])
def test_a_reply_that_cannot_be_encoded_spoils_no_other(
    server: Server, number: int, what: str
) -> None:
    bad: Any = msgspec.Raw(msgspec.msgpack.encode({"do": what}))
    good: Any = EMPTY
    if number in (2, 5):
        bad, good = msgspec.json.encode({"do": what}), b"{}"
    steps = [Step(1, number, action) for action in (good, bad, good)]
    server.say(ResetNamed(1, number, name="a"), *steps)
    replies = server.replies()
    assert [type(reply) for reply in replies] == [Result, Result, Error, Result]


def test_what_a_step_raises_is_a_fault_of_the_environment(server: Server) -> None:
    action = msgspec.Raw(msgspec.msgpack.encode({"do": "raise"}))
    server.say(ResetNamed(1, 1, name="a"), Step(1, 1, action))
    _, error = server.replies()
    assert (error.id, error.code) == (1, "ENVIRONMENT_FAULT")


# ---- messages


def test_steps_that_cost_little_share_a_message(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "HOLD_S", 60.0)
    server.say(ResetNamed(1, 1, name="a"), *[Step(1, 1, EMPTY)] * 5)
    [message] = server.run(Plain)
    assert [type(frame) for frame in message] == [Described, Result, *[Result] * 5]


def test_replies_are_not_held_longer_than_their_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "HOLD_S", -1.0)
    server.say(ResetNamed(1, 1, name="a"), *[Step(1, 1, EMPTY)] * 5)
    messages = server.run(Plain)
    assert [len(message) for message in messages[1:]] == [1] * 5


def test_what_is_ready_is_sent_before_a_call_that_may_take_long(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "HOLD_S", 60.0)
    server.say(Reset(1, 1), Step(1, 1, EMPTY), Reset(1, 1))
    messages = server.run(Plain)
    assert [type(message[-1]) for message in messages] == [Result, Result]
    assert len(messages[-1]) == 1


# ---- streams


def test_partial_observations_are_sent_at_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "HOLD_S", 60.0)
    server.say(ResetNamed(1, 1, name="a"), Step(1, 1, EMPTY, stream=True))
    messages = server.run(Streaming)
    assert [type(message[-1]) for message in messages] == [Result, Partial, Partial, Result]


def test_a_stream_ends_at_the_close_behind_it(server: Server) -> None:
    server.say(ResetNamed(1, 1, name="a"), Step(1, 1, EMPTY, stream=True), Close(1, 1))
    _, error, closed = server.replies(Streaming)
    assert (error.code, type(closed)) == ("CANCELLED", Closed)
    assert server.log == [0, "close"]


def test_a_stream_goes_on_if_another_environment_is_to_be_closed(server: Server) -> None:
    server.say(ResetNamed(1, 1, name="a"), Step(1, 1, EMPTY, stream=True), Close(2, 1))
    assert [type(reply) for reply in server.replies(Streaming)] == [
        Result,
        Partial,
        Partial,
        Result,
        Closed,
    ]


# ---- starting


def test_the_first_message_is_the_setup(server: Server) -> None:
    setup = Setup(["/somewhere"], blueprint_of(Deadly, [], debug=True), 20)
    for part in parts_of(msgspec.msgpack.encode(setup)):
        server.socket.sendall(part)
    server.socket.shutdown(socket.SHUT_WR)
    assert program._receive_setup(server.pipe, MessageReader()) == setup


def test_a_server_that_ends_before_it_has_said_anything_is_no_error(server: Server) -> None:
    server.socket.shutdown(socket.SHUT_WR)
    assert program._receive_setup(server.pipe, MessageReader()) is None
