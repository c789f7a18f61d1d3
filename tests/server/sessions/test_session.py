"""Session: the short way of inline steps. What the table of states says, test_states.py tests."""

from typing import Any

import pytest

from openenv.environment import Environment
from openenv.errors import RequestCancelled
from openenv.protocol.frames import (
    Close,
    Closed,
    Error,
    GetState,
    Open,
    Opened,
    Reset,
    Result,
    Step,
)
from openenv.server.config import ServerConfig
from openenv.server.runners.inline import Runner
from openenv.server.runners.spec import EnvironmentSpec
from openenv.server.sessions.services import SessionServices
from openenv.server.sessions.session import NOT_STEPPED, Session
from openenv.server.sessions.slots import SessionSlots
from openenv.server.sessions.states import SessionState
from tests.server.fakes import FakeDeadlines, FakeHolder, FakeOrigin


class Inline(Environment[dict[str, Any], dict[str, Any], Any]):
    execution = "inline"

    def reset(self) -> dict[str, Any]:
        return {"reward": 0.0}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        if action.get("raise"):
            raise ValueError("as asked")
        return {"reward": 1.0, "step": self.step_count}


class FakeView:
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    def note(self, frame: Any, reply: Any, encoding: str) -> None:
        self.log.append((type(frame), type(reply), encoding))

    def note_observation(self, action: Any, observation: Any) -> None:
        self.log.append((action, observation["reward"]))


EMPTY, RAISE = b"\x80", b"\x81\xa5raise\xc3"


class Stage:
    """A session of an inline environment, open and reset."""

    def __init__(self, execution: str = "inline") -> None:
        self.deadlines = FakeDeadlines()
        self.origin = FakeHolder()
        spec = EnvironmentSpec(Inline, Inline)
        services = SessionServices(
            config=ServerConfig(),
            slots=SessionSlots(1, self.deadlines),
            deadlines=self.deadlines,
            make_runner=lambda session: Runner(spec, session),
            runs_inline=execution == "inline",
            spectators=None,
            by_token={},
        )
        self.session = Session(services, "token")
        self.session.open(Open(1, 1), self.origin)
        self.session.submit(Reset(2, 1), self.origin)
        assert self.take() == [Opened, Result]

    def take(self) -> list[type]:
        replies, self.origin.replies = self.origin.replies, []
        return [type(reply) for reply in replies]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_an_inline_step_is_over_before_submit_returns(stage: Stage) -> None:
    stage.session.submit(Step(3, 1, EMPTY), stage.origin)
    assert stage.take() == [Result]
    assert stage.session.state is SessionState.IDLE
    assert stage.session.episode.step_count == 1


def test_an_inline_step_counts_as_life_for_the_idle_clock(stage: Stage) -> None:
    for now_s, act in (
        (50.0, lambda: stage.session.submit(Step(3, 1, EMPTY), stage.origin)),
        (60.0, lambda: stage.session.submit(Step(4, 1, RAISE), stage.origin)),
        (70.0, lambda: stage.session.step_now({})),
        (80.0, lambda: stage.session.submit(GetState(5, 1), stage.origin)),
    ):
        stage.deadlines.now_s = now_s
        act()
        assert stage.session.touched_at_s == now_s


def test_a_request_that_is_refused_does_not_count_as_life(stage: Stage) -> None:
    stage.session.needs_reset = True
    before_s = stage.session.touched_at_s
    stage.deadlines.now_s = 90.0
    stage.session.submit(Step(3, 1, EMPTY), stage.origin)
    assert stage.origin.codes == ["NOT_RESET"]
    assert stage.session.touched_at_s == before_s


def test_a_step_of_many_returns_the_observation_and_is_counted(stage: Stage) -> None:
    assert stage.session.step_now({}) == {"reward": 1.0, "step": 0}
    assert stage.session.step_now({}) == {"reward": 1.0, "step": 1}
    assert stage.session.episode.step_count == 2
    assert stage.take() == []


def test_a_step_of_many_that_fails_is_not_counted(stage: Stage) -> None:
    with pytest.raises(ValueError, match="as asked"):
        stage.session.step_now({"raise": True})
    assert stage.session.episode.step_count == 0
    assert stage.session.state is SessionState.IDLE


def test_a_step_of_many_is_not_taken_before_reset_or_after_the_end(stage: Stage) -> None:
    stage.session.needs_reset = True
    assert stage.session.step_now({}) is NOT_STEPPED
    stage.session.needs_reset = False
    stage.session.end("the end")
    assert stage.session.step_now({}) is NOT_STEPPED


def test_only_an_inline_session_steps_at_once() -> None:
    stage = Stage("thread")
    assert stage.session.step_now({}) is NOT_STEPPED
    stage.session.submit(Step(3, 1, EMPTY), stage.origin)
    assert stage.take() == [Result]


def test_who_looks_is_shown_steps_and_no_errors(stage: Stage) -> None:
    view: Any = FakeView()
    stage.session.watched_view = view
    stage.session.submit(Step(3, 1, EMPTY), stage.origin)
    stage.session.submit(Step(4, 1, RAISE), stage.origin)
    stage.session.step_now({"x": 1})
    assert view.log == [(Step, Result, "msgpack"), ({"x": 1}, 1.0)]


def test_a_step_that_fails_leaves_the_session_and_its_episode(stage: Stage) -> None:
    stage.session.submit(Step(3, 1, RAISE), stage.origin)
    stage.session.submit(Step(4, 1, EMPTY), stage.origin)
    assert stage.take() == [Error, Result]
    assert stage.session.episode.step_count == 1


def test_a_close_is_answered_before_the_holder_learns_of_the_end(stage: Stage) -> None:
    class Holder(FakeHolder):
        def session_ended(self, session: Any, reason: str) -> None:
            super().session_ended(session, reason)
            assert [type(reply) for reply in self.replies] == [Closed]

    stage.session.holder = holder = Holder()
    stage.session.submit(Close(3, 1), holder)
    assert holder.ended == ["closed"]
    assert stage.session.is_ended


def test_cancelling_what_nobody_has_asked_changes_nothing(stage: Stage) -> None:
    stage.session.cancel(99, stage.origin)
    assert stage.take() == []
    assert stage.session.state is SessionState.IDLE


def test_an_open_that_waits_for_a_slot_is_cancelled_by_its_own_origin_only() -> None:
    first, other = Stage(), FakeOrigin()
    services = first.session._services
    session = Session(services, "second")
    origin = FakeHolder()
    session.open(Open(1, 1, 60.0), origin)
    assert session.state is SessionState.WAITING
    session.cancel(1, other)
    assert session.state is SessionState.WAITING
    session.cancel(1, origin)
    assert session.is_ended
    assert not first.deadlines.pending


def test_an_open_without_time_to_wait_is_refused_at_once() -> None:
    first, origin = Stage(), FakeOrigin()
    session = Session(first.session._services, "second")
    session.open(Open(1, 1), origin)
    assert origin.codes == ["CAPACITY_REACHED"]
    assert session.is_ended


def test_a_request_made_while_open_waits_runs_once_there_is_a_slot() -> None:
    first, origin = Stage(), FakeOrigin()
    session = Session(first.session._services, "second")
    session.open(Open(1, 1, 60.0), origin)
    session.submit(Reset(2, 1), origin)
    session.submit(Step(3, 1, EMPTY), origin)
    first.session.end("the end")
    assert [type(reply) for reply in origin.replies] == [Opened, Result, Result]


def test_a_reply_may_submit_the_next_request(stage: Stage) -> None:
    class Chain(FakeOrigin):
        def reply(self, frame: Any) -> None:
            super().reply(frame)
            if frame.id < 9:
                stage.session.submit(GetState(frame.id + 1, 1), self)

    origin = Chain()
    stage.session.submit(GetState(3, 1), origin)
    assert [reply.id for reply in origin.replies] == list(range(3, 10))


def test_requests_that_wait_run_one_after_the_other_without_recursion() -> None:
    first, origin = Stage(), FakeOrigin()
    session = Session(first.session._services, "second")
    session.open(Open(1, 1, 60.0), origin)
    numbers = range(2, 1002)
    for number in numbers:
        session.submit(Reset(number, 1), origin)
    first.session.end("the end")
    assert [reply.id for reply in origin.replies] == [1, *numbers]


def test_a_cancelled_request_says_that_it_never_ran() -> None:
    first, origin = Stage(), FakeOrigin()
    session = Session(first.session._services, "second")
    session.open(Open(1, 1, 60.0), origin)
    session.submit(Reset(2, 1), origin)
    session.cancel(2, origin)
    first.session.end("the end")
    assert [reply.id for reply in origin.replies] == [2, 1]
    assert origin.codes == [RequestCancelled.code]
