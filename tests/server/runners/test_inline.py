"""Runner: on the event loop, and complete before `start` returns."""

from typing import Any

from openenv.environment import Environment
from openenv.protocol.frames import Close, Closed, Open, Opened, Partial, Reset, Result, Step
from openenv.server.runners.inline import Runner
from openenv.server.runners.spec import EnvironmentSpec
from tests.server.fakes import FakeOrigin, FakeSession


class Streaming(Environment[dict[str, Any], dict[str, Any], Any]):
    execution = "inline"

    def reset(self) -> dict[str, Any]:
        return {}

    def step(self, action: dict[str, Any]) -> Any:
        yield {"number": 1}
        yield {"number": 2}


def made() -> tuple[Runner, FakeSession]:
    session = FakeSession()
    return Runner(EnvironmentSpec(Streaming, Streaming), session), session


def test_a_request_is_complete_before_start_returns() -> None:
    runner, session = made()
    assert not runner.has_environment
    frames = [Open(1, 1), Reset(2, 1), Step(3, 1, b"\x80"), Close(4, 1)]
    for frame in frames:
        runner.start(frame, FakeOrigin())
    assert [type(reply) for reply in session.replies] == [Opened, Result, Result, Closed]
    assert session.replies[0].token == session.token
    assert runner.has_environment


def test_partial_observations_go_to_the_session() -> None:
    runner, session = made()
    runner.start(Reset(2, 1), FakeOrigin())
    runner.start(Step(3, 1, b"\x80", stream=True), FakeOrigin())
    assert session.partials == [Partial(3, {"number": 1})]


def test_a_call_can_be_neither_interrupted_nor_left_behind() -> None:
    runner, session = made()
    assert not runner.interrupt()
    assert not runner.can_abandon
    runner.abandon()
    runner.start(Open(1, 1), FakeOrigin())
    assert [type(reply) for reply in session.replies] == [Opened]


def test_a_runner_that_is_released_has_no_environment() -> None:
    runner, _ = made()
    runner.start(Open(1, 1), FakeOrigin())
    runner.release()
    assert not runner.has_environment
