"""The table of a session's life, cell by cell and without an event loop, among fakes."""

from collections.abc import Callable
from typing import Any

import pytest

from openenv.environment import RunningEpisode
from openenv.errors import SessionCapacityError
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
    StateReply,
    Step,
)
from openenv.server.config import ServerConfig
from openenv.server.sessions.services import SessionServices
from openenv.server.sessions.session import NOT_STEPPED, Session
from openenv.server.sessions.states import IGNORE, TABLE, SessionEvent, SessionState

S, E = SessionState, SessionEvent


class FakeRunner:
    """Remembers what it was asked; completes nothing of its own accord."""

    can_abandon = True
    has_environment = True

    def __init__(self, can_interrupt: bool) -> None:
        self.can_interrupt = can_interrupt
        self.started: list[Any] = []
        self.log: list[str] = []
        self.episode = RunningEpisode("begun")

    def start(self, frame: Any, origin: Any) -> None:
        self.started.append((frame, origin))

    def interrupt(self) -> bool:
        self.log.append("interrupt")
        return self.can_interrupt

    def abandon(self) -> None:
        self.log.append("abandon")

    def release(self) -> None:
        self.log.append("release")


class FakeSlots:
    def __init__(self, has_one: bool) -> None:
        self.has_one = has_one
        self.log: list[str] = []

    def reserve(self, session: Session) -> bool:
        session.has_slot = self.has_one
        return self.has_one

    def wait(self, session: Session, wait_s: float) -> None:
        self.log.append(f"wait {wait_s}")

    def release(self, session: Session) -> None:
        self.log.append("release")

    def capacity_error(self) -> SessionCapacityError:
        return SessionCapacityError(1, 1, 1.0)


class FakeDeadlines:
    now_s = 5.0

    def __init__(self) -> None:
        self.pending: dict[Any, float] = {}

    def set(self, target: Any, timeout_s: float) -> None:
        self.pending[target] = timeout_s

    def bring_forward(self, target: Any, timeout_s: float) -> None:
        self.pending[target] = min(timeout_s, self.pending.get(target, timeout_s))

    def clear(self, target: Any) -> None:
        self.pending.pop(target, None)

    def pop(self, target: Any) -> float | None:
        return self.pending.pop(target, None)


class FakeLink:
    """An origin that has the session open."""

    encoding = "msgpack"
    is_lenient = False
    is_live = True

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.ended: list[str] = []

    def reply(self, frame: Any) -> None:
        self.replies.append(frame)

    def until_room(self) -> None: ...

    def session_ended(self, session: Any, reason: str) -> None:
        self.ended.append(reason)

    def session_taken_over(self, session: Any) -> None: ...


class Stage:
    """A session among fakes, brought into a state by what happens to it."""

    def __init__(self, *, can_interrupt: bool = True, has_slot: bool = True) -> None:
        self.runners: list[FakeRunner] = []
        self.slots = FakeSlots(has_slot)
        self.deadlines = FakeDeadlines()
        self.link = FakeLink()
        self.can_interrupt = can_interrupt
        self.by_token: dict[str, Any] = {}
        config = ServerConfig(step_timeout_s=30.0, close_timeout_s=10.0, max_queued_requests=2)
        services = SessionServices(
            config=config,
            slots=self.slots,
            deadlines=self.deadlines,
            make_runner=self._make_runner,  # type: ignore[arg-type]
            runs_inline=False,
            spectators=None,
            by_token=self.by_token,
        )
        self.session = Session(services, "token")
        self.by_token["token"] = self.session
        self.session.holder = self.link

    def _make_runner(self, _: Any) -> FakeRunner:
        self.runners.append(FakeRunner(self.can_interrupt))
        return self.runners[-1]

    @property
    def runner(self) -> FakeRunner:
        return self.runners[-1]

    @property
    def codes(self) -> list[str]:
        return [reply.code for reply in self.link.replies if isinstance(reply, Error)]

    def ask(self, frame: Any) -> None:
        self.session.submit(frame, self.link)

    def complete(self, reply: Any) -> None:
        frame, origin = self.runner.started[-1]
        self.session.complete(self.runner, frame, origin, reply)

    def reach(self, state: SessionState) -> None:
        """Let happen what brings a session into this state."""
        if state is S.WAITING:
            self.slots.has_one = False
            self.session.open(Open(1, 1, 3.0), self.link)
            return
        self.session.open(Open(1, 1), self.link)
        self.complete(Opened(1, "token"))
        self.ask(Reset(2, 1))
        self.complete(Result(2, {}))
        if state in (S.RUNNING, S.INTERRUPTED, S.FINISHING, S.ABORTING):
            self.ask(Step(3, 1, {}))
        match state:
            case S.INTERRUPTED:
                self.session.cancel(3, self.link)
            case S.FINISHING:
                self.session.end("the end", 60.0)
            case S.ABORTING:
                self.session.end("the end")
            case S.CLOSING:
                self.ask(Close(4, 1))
            case S.DISPOSING | S.ENDED:
                self.session.end("the end")
        if state is S.ENDED:
            self.complete(Closed(0, 0, "closed"))
        self.link.replies.clear()
        assert self.session.state is state


Cell = Callable[[Stage], None]
CELLS: dict[tuple[SessionEvent, SessionState], Cell] = {}


def cell(event: SessionEvent, *states: SessionState) -> Callable[[Cell], Cell]:
    """Say what must be so after an event in these states."""

    def register(check: Cell) -> Cell:
        for state in states:
            assert (event, state) not in CELLS
            CELLS[event, state] = check
        return check

    return register


def happen(stage: Stage, event: SessionEvent) -> None:
    session = stage.session
    match event:
        case E.SUBMIT:
            stage.ask(GetState(9, 1))
        case E.COMPLETE:
            if stage.runner.started:
                frame, origin = stage.runner.started[-1]
                reply = Closed(0, 1, "closed") if type(frame) is Close else Result(frame.id, {})
                session.complete(stage.runner, frame, origin, reply)
            else:
                session.complete(stage.runner, Step(3, 1, {}), stage.link, Result(3, {}))
        case E.CANCEL:
            running = session._running
            session.cancel(running[0].id if running is not None else 3, stage.link)
        case E.EXPIRE:
            session.expire_deadline()
        case E.GRANT:
            session.has_slot = True
            session.grant_slot()
        case E.END:
            session.end("another end")


@cell(E.SUBMIT, S.WAITING, S.RUNNING, S.INTERRUPTED, S.CLOSING)
def is_queued(stage: Stage) -> None:
    assert [frame.id for frame, _ in stage.session._queue or ()] == [9]
    assert not stage.link.replies


@cell(E.SUBMIT, S.IDLE)
def is_begun(stage: Stage) -> None:
    assert stage.session.state is S.RUNNING
    assert stage.runner.started[-1][0] == GetState(9, 1)
    assert stage.deadlines.pending[stage.session] == 30.0


@cell(E.SUBMIT, S.FINISHING, S.ABORTING, S.DISPOSING, S.ENDED)
def is_refused(stage: Stage) -> None:
    assert stage.codes == ["SESSION_EXPIRED"]
    assert not stage.session._queue


@cell(E.COMPLETE, S.RUNNING)
def is_delivered(stage: Stage) -> None:
    assert stage.link.replies == [Result(3, {})]
    assert stage.session.state is S.IDLE
    assert not stage.session.needs_reset
    assert not stage.deadlines.pending


@cell(E.COMPLETE, S.INTERRUPTED)
def is_told_of_the_interruption(stage: Stage) -> None:
    assert stage.codes == ["CANCELLED"]
    assert stage.session.state is S.IDLE
    assert stage.session.needs_reset


@cell(E.COMPLETE, S.CLOSING)
def is_closed(stage: Stage) -> None:
    assert stage.link.replies == [Closed(0, 1, "closed")]
    assert stage.session.state is S.ENDED
    assert stage.link.ended == ["closed"]


@cell(E.COMPLETE, S.FINISHING)
def is_delivered_and_closed(stage: Stage) -> None:
    assert stage.link.replies == [Result(3, {})]
    assert stage.session.state is S.DISPOSING
    assert type(stage.runner.started[-1][0]) is Close


@cell(E.COMPLETE, S.ABORTING)
def is_told_of_the_end_and_closed(stage: Stage) -> None:
    assert stage.codes == ["SESSION_EXPIRED"]
    assert stage.session.state is S.DISPOSING
    assert type(stage.runner.started[-1][0]) is Close


@cell(E.COMPLETE, S.DISPOSING)
def has_ended(stage: Stage) -> None:
    assert stage.session.state is S.ENDED
    assert stage.link.ended == ["the end"]
    assert stage.runner.log[-1] == "release"
    assert stage.slots.log == ["release"]
    assert not stage.by_token


@cell(E.CANCEL, S.WAITING)
@cell(E.EXPIRE, S.WAITING)
def gets_no_slot(stage: Stage) -> None:
    assert stage.codes == ["CAPACITY_REACHED"]
    assert stage.session.state is S.ENDED
    assert stage.slots.log == ["wait 3.0", "release"]


@cell(E.CANCEL, S.RUNNING)
def is_interrupted(stage: Stage) -> None:
    assert stage.session.state is S.INTERRUPTED
    assert stage.runner.log == ["interrupt"]
    assert stage.deadlines.pending[stage.session] == 10.0
    assert stage.session.needs_reset


@cell(E.CANCEL, S.FINISHING)
@cell(E.EXPIRE, S.FINISHING)
def is_aborted(stage: Stage) -> None:
    assert stage.session.state is S.ABORTING
    assert stage.runner.log == ["interrupt"]


@cell(E.EXPIRE, S.RUNNING)
def is_given_up(stage: Stage) -> None:
    assert stage.session.state is S.INTERRUPTED
    assert stage.runner.log == ["interrupt"]
    stage.complete(Result(3, {}))
    assert stage.codes == ["STEP_TIMEOUT"]


@cell(E.EXPIRE, S.INTERRUPTED)
def is_left_behind(stage: Stage) -> None:
    assert stage.codes == ["CANCELLED"]
    assert stage.runners[0].log == ["interrupt", "abandon"]
    assert len(stage.runners) == 2
    assert stage.session.state is S.IDLE
    assert stage.session.needs_reset


@cell(E.EXPIRE, S.CLOSING)
def hangs_and_is_left(stage: Stage) -> None:
    assert [type(reply) for reply in stage.link.replies] == [Closed]
    assert stage.runner.log == ["abandon", "release"]
    assert stage.session.state is S.ENDED


@cell(E.EXPIRE, S.DISPOSING)
def is_left_by_the_server(stage: Stage) -> None:
    assert stage.runner.log == ["abandon", "release"]
    assert stage.link.ended == ["the end"]
    assert stage.session.state is S.ENDED


@cell(E.EXPIRE, S.ABORTING)
def is_left_with_its_call(stage: Stage) -> None:
    assert stage.codes == ["SESSION_EXPIRED"]
    assert stage.runner.log == ["interrupt", "abandon", "release"]
    assert stage.session.state is S.ENDED


@cell(E.GRANT, S.WAITING)
def is_constructed(stage: Stage) -> None:
    assert stage.session.state is S.RUNNING
    assert [type(frame) for frame, _ in stage.runner.started] == [Open]


@cell(E.END, S.WAITING)
def is_refused_for_good(stage: Stage) -> None:
    assert stage.codes == ["CAPACITY_REACHED"]
    assert stage.session.state is S.ENDED


@cell(E.END, S.IDLE)
def is_disposed_of(stage: Stage) -> None:
    assert stage.session.state is S.DISPOSING
    assert type(stage.runner.started[-1][0]) is Close
    assert stage.deadlines.pending[stage.session] == 10.0


@cell(E.END, S.RUNNING)
def is_interrupted_for_good(stage: Stage) -> None:
    assert stage.session.state is S.ABORTING
    assert stage.runner.log == ["interrupt"]


@cell(E.END, S.INTERRUPTED)
def ends_after_the_interruption(stage: Stage) -> None:
    assert stage.session.state is S.ABORTING
    assert stage.runner.log == ["interrupt"]
    stage.complete(Result(3, {}))
    assert stage.codes == ["CANCELLED"]
    assert stage.session.state is S.DISPOSING


@cell(E.END, S.CLOSING)
def hurries(stage: Stage) -> None:
    assert stage.session.state is S.DISPOSING
    assert len([one for one, _ in stage.runner.started if type(one) is Close]) == 1
    stage.complete(Closed(4, 1, "closed"))
    assert stage.link.replies == [Closed(4, 1, "another end")]


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("event", E)
def test_the_table_says_what_happens(event: SessionEvent, state: SessionState) -> None:
    stage = Stage()
    stage.reach(state)
    if TABLE[event][state] != IGNORE:
        happen(stage, event)
        CELLS[event, state](stage)
        return
    assert (event, state) not in CELLS
    before = (state, list(stage.runner.log), list(stage.runner.started), list(stage.slots.log))
    happen(stage, event)
    after = (stage.session.state, stage.runner.log, stage.runner.started, stage.slots.log)
    assert after == before
    assert not stage.link.replies


def test_a_call_that_cannot_be_interrupted_is_left_behind_in_time() -> None:
    stage = Stage(can_interrupt=False)
    stage.reach(S.RUNNING)
    stage.ask(Reset(4, 1))
    stage.session.expire_deadline()
    assert stage.codes == ["STEP_TIMEOUT"]
    assert stage.runners[0].log == ["interrupt", "abandon"]
    assert stage.runner.started[-1][0] == Reset(4, 1)


def test_what_waits_behind_a_cancelled_call_that_goes_on_waits_a_moment_only() -> None:
    stage = Stage(can_interrupt=False)
    stage.reach(S.RUNNING)
    stage.session.cancel(3, stage.link)
    assert stage.session.state is S.RUNNING
    assert stage.deadlines.pending[stage.session] == 10.0


def test_a_session_that_ends_leaves_a_call_behind_that_cannot_be_interrupted() -> None:
    stage = Stage(can_interrupt=False)
    stage.reach(S.RUNNING)
    stage.session.end("the end")
    assert stage.session.state is S.FINISHING
    assert stage.deadlines.pending[stage.session] == 10.0
    stage.session.expire_deadline()
    assert stage.codes == ["SESSION_EXPIRED"]
    assert stage.session.state is S.ENDED


def test_only_its_own_origin_cancels_a_request() -> None:
    stage, other = Stage(), FakeLink()
    stage.reach(S.RUNNING)
    stage.session.submit(GetState(9, 1), stage.link)
    stage.session.cancel(3, other)
    stage.session.cancel(9, other)
    assert stage.session.state is S.RUNNING
    assert [frame.id for frame, _ in stage.session._queue or ()] == [9]
    stage.session.cancel(9, stage.link)
    assert stage.codes == ["CANCELLED"]
    assert not stage.session._queue


def test_a_queued_close_is_not_cancelled_and_hurries_the_call() -> None:
    stage = Stage()
    stage.reach(S.RUNNING)
    stage.ask(Close(9, 1))
    assert stage.deadlines.pending[stage.session] == 10.0
    stage.session.cancel(9, stage.link)
    assert [frame.id for frame, _ in stage.session._queue or ()] == [9]


@pytest.mark.parametrize(("asked_s", "limit_s"), [(None, 30.0), (5.0, 5.0), (60.0, 30.0)])
def test_a_client_s_timeout_only_shortens_the_server_s(
    asked_s: float | None, limit_s: float
) -> None:
    stage = Stage()
    stage.reach(S.IDLE)
    stage.ask(Step(3, 1, {}, asked_s))
    assert stage.deadlines.pending[stage.session] == limit_s


def test_the_deadline_of_a_queued_request_begins_with_its_call() -> None:
    stage = Stage()
    stage.reach(S.RUNNING)
    stage.ask(Step(4, 1, {}, 2.0))
    assert stage.deadlines.pending[stage.session] == 30.0
    stage.complete(Result(3, {}))
    assert stage.deadlines.pending[stage.session] == 2.0


def test_too_many_queued_requests_are_refused() -> None:
    stage = Stage()
    stage.reach(S.RUNNING)
    for number in (4, 5, 6):
        stage.ask(Step(number, 1, {}))
    assert [reply.id for reply in stage.link.replies] == [6]
    assert stage.codes == ["TOO_MANY_REQUESTS"]


def test_a_step_needs_a_reset_unless_the_dialect_is_lenient() -> None:
    stage = Stage()
    stage.session.open(Open(1, 1), stage.link)
    stage.complete(Opened(1, "token"))
    stage.ask(Step(2, 1, {}))
    assert stage.codes == ["NOT_RESET"]
    stage.link.is_lenient = True
    stage.ask(Step(3, 1, {}))
    assert stage.session.state is S.RUNNING


def test_a_failed_reset_needs_another_and_a_failed_step_does_not() -> None:
    stage = Stage()
    stage.reach(S.RUNNING)
    stage.complete(Error(3, "ENVIRONMENT_FAULT", "ouch"))
    assert not stage.session.needs_reset
    stage.ask(Reset(4, 1))
    stage.complete(Error(4, "ENVIRONMENT_FAULT", "ouch"))
    assert stage.session.needs_reset


def test_an_environment_that_cannot_be_made_ends_the_session() -> None:
    stage = Stage()
    stage.session.open(Open(1, 1), stage.link)
    stage.complete(Error(1, "FACTORY_ERROR", "no"))
    assert stage.session.state is S.ENDED
    assert not stage.session.was_opened
    assert stage.link.ended == ["could not be opened"]


def test_a_link_that_ends_with_a_reply_takes_the_session_along() -> None:
    stage = Stage()
    stage.reach(S.RUNNING)
    stage.ask(GetState(9, 1))
    reply = stage.link.reply

    def overflow(frame: Any) -> None:
        reply(frame)
        if isinstance(frame, Result):
            stage.session.end("its link ended")

    stage.link.reply = overflow  # type: ignore[method-assign]
    stage.complete(Result(3, {}))
    assert stage.session.state is S.DISPOSING
    assert stage.codes == ["SESSION_EXPIRED"]
    assert type(stage.runner.started[-1][0]) is Close


def test_a_close_by_another_client_is_told_to_the_holder() -> None:
    stage, other = Stage(), FakeLink()
    stage.reach(S.IDLE)
    stage.session.submit(Close(9, 1), other)
    stage.complete(Closed(9, 1, "closed"))
    assert stage.link.ended == ["closed by another client"]


def test_partial_observations_go_to_the_origin() -> None:
    stage = Stage()
    stage.reach(S.RUNNING)
    stage.session.emit(stage.link, Partial(3, {}))
    assert stage.link.replies == [Partial(3, {})]


def test_a_step_of_many_is_not_taken_where_it_would_have_to_wait() -> None:
    stage = Stage()
    stage.reach(S.IDLE)
    assert stage.session.step_now({}) is NOT_STEPPED


def test_a_state_reply_changes_nothing() -> None:
    stage = Stage()
    stage.reach(S.IDLE)
    stage.ask(GetState(9, 1))
    stage.complete(StateReply(9, {}))
    assert stage.session.episode.episode_id == "begun"
    assert not stage.session.needs_reset
