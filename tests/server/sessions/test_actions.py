"""SessionActions: what a session tells its surroundings: spectators, slots, holder and origins.

Which action follows which event, test_states.py tests.
"""

from typing import Any

import pytest

from openenv.environment import RunningEpisode
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
from openenv.server.config import ServerConfig
from openenv.server.runners.queries import EnvironmentQuery
from openenv.server.sessions.services import NOBODY, SessionServices
from openenv.server.sessions.session import Session
from openenv.server.sessions.slots import SessionSlots
from openenv.server.sessions.states import SessionState
from tests.server.fakes import FakeDeadlines, FakeHolder, FakeOrigin

S = SessionState


class FakeRunner:
    """Completes a request when the test says so."""

    has_environment = True

    def __init__(self, can_abandon: bool) -> None:
        self.can_abandon = can_abandon
        self.episode = RunningEpisode("one")
        self.running: tuple[Any, Any] | None = None
        self.is_released = False

    def start(self, frame: Any, origin: Any) -> None:
        self.running = (frame, origin)

    def interrupt(self) -> bool:
        return False

    def abandon(self) -> None: ...

    def release(self) -> None:
        self.is_released = True


class FakeView:
    def __init__(self) -> None:
        self.log: list[Any] = []

    def note(self, frame: Any, reply: Any, encoding: str) -> None:
        self.log.append((type(frame), encoding))

    def note_partial(self, partial: Any, encoding: str) -> None:
        self.log.append((Partial, encoding))

    def begin_episode(self, steps: int) -> None:
        self.log.append(("episode", steps))


class FakeSpectators:
    def __init__(self) -> None:
        self.view = FakeView()
        self.removed: list[Any] = []

    def add(self, session: Any) -> Any:
        return self.view

    def remove(self, view: Any) -> None:
        self.removed.append(view)


class Stage:
    def __init__(self, *, can_abandon: bool = True, **settings: Any) -> None:
        self.deadlines = FakeDeadlines()
        self.slots = SessionSlots(1, self.deadlines)
        self.spectators = FakeSpectators()
        self.holder = FakeHolder()
        self.runners: list[FakeRunner] = []

        def make_runner(_: Any) -> Any:
            self.runners.append(FakeRunner(can_abandon))
            return self.runners[-1]

        self.services = SessionServices(
            config=ServerConfig(**settings),
            slots=self.slots,
            deadlines=self.deadlines,
            make_runner=make_runner,
            runs_inline=False,
            spectators=self.spectators,  # type: ignore[arg-type]
            by_token={},
        )
        self.session = Session(self.services, "token")
        self.services.by_token["token"] = self.session
        self.session.holder = self.holder

    def open(self) -> None:
        self.session.open(Open(1, 1), self.holder)
        self.complete(Opened(1, "token"))

    def reset(self, number: int = 2) -> None:
        self.session.submit(Reset(number, 1), self.holder)
        self.complete(Result(number, {}))

    def complete(self, reply: Any) -> None:
        """The runner has done what it runs."""
        runner: Any = self.runners[-1]
        assert runner.running is not None
        (frame, origin), runner.running = runner.running, None
        self.session.complete(runner, frame, origin, reply)

    @property
    def running(self) -> Any:
        running = self.runners[-1].running
        return None if running is None else running[0]


def test_a_session_needs_a_reset_before_anything_but_a_close() -> None:
    stage = Stage()
    stage.open()
    for number, frame in enumerate([Step(3, 1, {}), GetState(4, 1)], 1):
        stage.session.submit(frame, stage.holder)
        assert stage.holder.codes == ["NOT_RESET"] * number
        assert stage.session.state is S.IDLE
    stage.session.submit(Close(5, 1), stage.holder)
    assert stage.session.state is S.CLOSING


def test_a_lenient_origin_needs_no_reset_but_an_environment() -> None:
    stage = Stage()
    stage.open()
    lenient = FakeOrigin(is_lenient=True)
    stage.runners[-1].has_environment = False
    stage.session.submit(GetState(3, 1), lenient)
    assert lenient.codes == ["NOT_RESET"]
    stage.runners[-1].has_environment = True
    stage.session.submit(EnvironmentQuery(4, 1, "render"), lenient)
    assert stage.session.state is S.RUNNING


@pytest.mark.parametrize(
    ("frame", "limit_s"),
    [
        (Step(3, 1, {}), 30.0),
        (Step(3, 1, {}, 1.0), 1.0),
        (Reset(3, 1), 30.0),
        (GetState(3, 1), 30.0),
        (Close(3, 1), 7.0),
    ],
)
def test_each_call_has_a_deadline_of_its_kind(frame: Any, limit_s: float) -> None:
    stage = Stage(step_timeout_s=30.0, close_timeout_s=7.0)
    stage.open()
    stage.reset()
    stage.session.submit(frame, stage.holder)
    assert stage.deadlines.pending == {stage.session: limit_s}


@pytest.mark.parametrize(("frame", "limit_s"), [(Step(3, 1, {}, 1.0), 1.0), (Reset(3, 1), None)])
def test_without_a_limit_of_the_server_a_call_has_its_client_s(
    frame: Any, limit_s: float | None
) -> None:
    stage = Stage()
    stage.open()
    stage.reset()
    stage.session.submit(frame, stage.holder)
    assert stage.deadlines.pending.get(stage.session) == limit_s


def test_a_call_that_cannot_be_left_behind_has_no_deadline() -> None:
    stage = Stage(can_abandon=False, step_timeout_s=30.0)
    stage.open()
    stage.reset()
    stage.session.submit(Step(3, 1, {}, 1.0), stage.holder)
    stage.session.submit(Close(4, 1), stage.holder)
    assert not stage.deadlines.pending


def test_a_reset_begins_the_runner_s_episode_and_tells_spectators_of_the_former() -> None:
    stage = Stage()
    stage.open()
    stage.reset()
    assert stage.session.episode is stage.runners[-1].episode
    stage.session.episode.step_count = 7
    stage.runners[-1].episode = RunningEpisode("two")
    stage.reset(3)
    assert stage.session.episode.episode_id == "two"
    assert stage.spectators.view.log == [
        ("episode", 0),
        (Reset, "msgpack"),
        ("episode", 7),
        (Reset, "msgpack"),
    ]


def test_spectators_are_shown_observations_and_no_errors_or_states() -> None:
    stage = Stage()
    stage.open()
    stage.reset()
    stage.spectators.view.log.clear()
    origin = FakeOrigin("json")
    stage.session.submit(Step(3, 1, {}, stream=True), origin)
    stage.session.emit(origin, Partial(3, {}))
    stage.complete(Result(3, {}))
    stage.session.submit(Step(4, 1, {}), origin)
    stage.complete(Error(4, "ENVIRONMENT_FAULT", "ouch"))
    assert stage.spectators.view.log == [(Partial, "json"), (Step, "json")]


def test_a_session_that_has_ended_is_known_nowhere() -> None:
    stage = Stage()
    stage.open()
    stage.session.submit(Close(3, 1), stage.holder)
    stage.complete(Closed(3, 1, "closed"))
    assert stage.session.is_ended
    assert stage.services.by_token == {}
    assert stage.spectators.removed == [stage.spectators.view]
    assert stage.session.view is None
    assert stage.runners[-1].is_released
    assert stage.slots.taken == 0
    assert not stage.deadlines.pending


def test_its_holder_learns_of_the_end_before_the_next_session_gets_the_slot() -> None:
    stage = Stage()
    stage.open()
    waiting, states = Session(stage.services, "second"), list[SessionState]()
    stage.holder.session_ended = lambda *_: states.append(waiting.state)  # type: ignore[method-assign]
    waiting.open(Open(1, 1, 60.0), FakeOrigin())
    stage.session.end("the end")
    runner: Any = stage.runners[0]
    stage.session.complete(runner, *runner.running, Closed(0, 0, "closed"))
    assert states == [S.WAITING]
    assert waiting.state is S.RUNNING


def test_what_waits_when_a_session_ends_is_refused_and_a_close_is_answered() -> None:
    stage = Stage()
    stage.open()
    stage.reset()
    stage.holder.replies.clear()
    stage.session.submit(Step(3, 1, {}), stage.holder)
    stage.session.submit(Step(4, 1, {}), stage.holder)
    stage.session.submit(Close(5, 1), stage.holder)
    stage.session.end("the end")
    assert [reply.id for reply in stage.holder.replies] == [4, 5]
    assert stage.holder.codes == ["SESSION_EXPIRED"]
    assert type(stage.holder.replies[-1]) is Closed


def test_an_environment_that_the_server_closes_is_closed_for_nobody() -> None:
    stage = Stage()
    stage.open()
    stage.holder.replies.clear()
    stage.session.end("the end")
    runner: Any = stage.runners[-1]
    assert runner.running == (Close(0, 0), NOBODY)
    stage.complete(Closed(0, 0, "closed"))
    assert stage.holder.replies == []
    assert stage.holder.ended == ["the end"]
    assert NOBODY.until_room() is None


def test_the_running_call_gets_the_time_that_a_drain_gives_it() -> None:
    stage = Stage(close_timeout_s=7.0)
    stage.open()
    stage.reset()
    stage.session.submit(Step(3, 1, {}), stage.holder)
    stage.session.end("the end", 30.0)
    assert (stage.session.state, stage.deadlines.pending[stage.session]) == (S.FINISHING, 30.0)


def test_a_drain_refuses_an_open_that_waits_with_its_reason() -> None:
    stage = Stage()
    stage.open()
    waiting, origin = Session(stage.services, "second"), FakeOrigin()
    waiting.open(Open(1, 1, 60.0), origin)
    waiting.end("going down", 30.0, is_draining=True)
    assert origin.codes == ["SERVER_CLOSING"]
    assert waiting.is_ended


def test_a_call_that_is_left_behind_goes_on_without_its_session() -> None:
    stage = Stage(step_timeout_s=30.0)
    stage.open()
    stage.reset()
    stage.session.submit(Step(3, 1, {}), stage.holder)
    stage.deadlines.expire(stage.session)
    assert stage.holder.codes == ["STEP_TIMEOUT"]
    assert len(stage.runners) == 2
    stage.session.submit(Step(4, 1, {}), stage.holder)
    assert stage.holder.codes == ["STEP_TIMEOUT", "NOT_RESET"]
    stage.session.submit(Reset(5, 1), stage.holder)
    left_behind: Any = stage.runners[0]
    stage.session.complete(left_behind, *left_behind.running, Result(3, {}))
    assert stage.session.state is S.RUNNING
    stage.complete(Result(5, {}))
    assert [reply.id for reply in stage.holder.replies] == [1, 2, 3, 4, 5]


def test_a_failed_open_ends_a_session_that_the_server_was_about_to_end() -> None:
    stage = Stage()
    stage.session.open(Open(1, 1), stage.holder)
    stage.session.end("the end", 30.0)
    stage.complete(Error(1, "FACTORY_ERROR", "no"))
    assert stage.session.is_ended
    assert stage.running is None
    assert stage.holder.ended == ["the end"]


def test_what_waits_behind_an_open_that_fails_is_refused() -> None:
    stage = Stage()
    stage.session.open(Open(1, 1), stage.holder)
    stage.session.submit(Reset(2, 1), stage.holder)
    stage.complete(Error(1, "FACTORY_ERROR", "no"))
    assert stage.holder.codes == ["FACTORY_ERROR", "SESSION_EXPIRED"]
