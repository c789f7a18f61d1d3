"""WorkerRunner: what a session's requests come to while workers live and die."""

from typing import Any

import msgspec
import pytest

from openenv.errors import EnvironmentFactoryError, SessionCreationError, WorkerDied
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
from openenv.server.runners.making import make_spec
from openenv.server.workers.frames import ResetNamed
from openenv.server.workers.runner import WorkerRunner
from tests.environments import Counter

SPEC = make_spec(Counter)
DEAD = WorkerDied("killed")


class FakeWorker:
    """Remembers what it was asked; replies come from the test."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.log: list[str] = []

    def ask(self, runner: Any, frame: Any, origin: Any, request: Any) -> None:
        self.asked.append(request)

    def abandon(self, runner: Any) -> None:
        self.log.append("abandon")

    def forget(self, runner: Any) -> None:
        self.log.append("forget")

    def pause_until(self, room: Any) -> None:
        self.log.append("pause")


class FakeWorkers:
    """One worker after the other; None stands for one that is about to be replaced."""

    def __init__(self, *workers: FakeWorker | None) -> None:
        self.left = list(workers)

    def assign(self, runner: Any, frame: Any, origin: Any) -> Any:
        if not self.left:
            raise SessionCreationError("no worker process is free")
        return self.left.pop(0)


class FakeSession:
    token = "the session's"
    needs_reset = False

    def __init__(self) -> None:
        self.completed: list[Any] = []
        self.partials: list[Any] = []

    def complete(self, runner: Any, frame: Any, origin: Any, reply: Any) -> None:
        self.completed.append(reply)

    def emit(self, origin: Any, partial: Any) -> None:
        self.partials.append(partial)

    def expire_deadline(self) -> None: ...


class FakeOrigin:
    encoding = "msgpack"
    is_lenient = False
    is_native = True
    room: Any = None

    def reply(self, frame: Any) -> None: ...

    def until_room(self) -> Any:
        return self.room


ORIGIN = FakeOrigin()


class Stage:
    def __init__(self, *workers: FakeWorker | None) -> None:
        self.session = FakeSession()
        self.runner = WorkerRunner(SPEC, self.session, FakeWorkers(*workers))  # type: ignore[arg-type]
        self.runner.number = 1

    @property
    def codes(self) -> list[str]:
        return [reply.code for reply in self.session.completed if isinstance(reply, Error)]

    def play(self, frame: Any, reply: Any) -> None:
        self.runner.start(frame, ORIGIN)
        self.runner.on_reply(frame, ORIGIN, reply)


def opened(*others: FakeWorker | None) -> tuple[Stage, FakeWorker]:
    worker = FakeWorker()
    stage = Stage(worker, *others)
    stage.play(Open(1, 1), Opened(0, ""))
    stage.play(Reset(2, 1, episode_id="mine"), Result(0, msgspec.Raw(b"\x80")))
    return stage, worker


def test_requests_go_to_one_worker_and_replies_get_their_own_ids_back() -> None:
    stage, worker = opened()
    stage.play(Step(3, 1, msgspec.Raw(b"\x80")), Result(0, msgspec.Raw(b"\x80")))
    stage.play(GetState(4, 1), StateReply(0, msgspec.Raw(b"\x80")))
    assert [reply.id for reply in stage.session.completed] == [1, 2, 3, 4]
    assert stage.session.completed[0].token == "the session's"
    assert stage.runner.has_environment
    assert (stage.runner.episode.episode_id, stage.runner.episode.step_count) == ("mine", 1)
    assert len(worker.asked) == 4


def test_a_reset_without_an_id_names_the_episode_for_both_sides() -> None:
    stage, worker = opened()
    stage.play(Reset(5, 1), Result(0, msgspec.Raw(b"\x80")))
    sent = msgspec.msgpack.decode(worker.asked[-1], type=ResetNamed)
    assert sent.episode_id is None
    assert sent.name == stage.runner.episode.episode_id


def test_what_a_dead_worker_has_not_begun_begins_in_another() -> None:
    other = FakeWorker()
    stage, _ = opened(other)
    stage.runner.start(Reset(5, 1), ORIGIN)
    stage.runner.on_exit(DEAD, (Reset(5, 1), ORIGIN), has_begun=False)
    assert len(other.asked) == 1
    assert not stage.codes


def test_a_reset_that_has_begun_is_not_replayed_in_another_worker() -> None:
    other = FakeWorker()
    stage, _ = opened(other)
    stage.runner.start(Reset(5, 1), ORIGIN)
    stage.runner.on_exit(DEAD, (Reset(5, 1), ORIGIN), has_begun=True)
    assert not other.asked
    assert stage.codes == [WorkerDied.code]
    assert stage.session.needs_reset


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_step_never_goes_on_in_another_worker(has_begun: bool) -> None:
    other = FakeWorker()
    stage, _ = opened(other)
    step = Step(5, 1, msgspec.Raw(b"\x80"))
    stage.runner.start(step, ORIGIN)
    stage.runner.on_exit(DEAD, (step, ORIGIN), has_begun=has_begun)
    assert not other.asked
    assert stage.codes == [WorkerDied.code]


def test_a_close_succeeds_although_the_worker_is_dead() -> None:
    stage, _ = opened()
    stage.runner.on_exit(DEAD, (Close(5, 1), ORIGIN), has_begun=True)
    stage.runner.start(Close(6, 1), ORIGIN)
    assert stage.session.completed[-2:] == [Closed(5, 1, "closed"), Closed(6, 1, "closed")]


def test_a_death_in_between_is_told_once_and_a_reset_goes_on() -> None:
    other = FakeWorker()
    stage, _ = opened(other)
    stage.runner.on_exit(DEAD, None, has_begun=False)
    assert not stage.runner.has_environment
    stage.runner.start(Step(5, 1, msgspec.Raw(b"\x80")), ORIGIN)
    assert stage.codes == [WorkerDied.code]
    stage.runner.start(Reset(6, 1), ORIGIN)
    assert len(other.asked) == 1


def test_a_reset_after_a_death_is_not_told_of_it() -> None:
    other = FakeWorker()
    stage, _ = opened(other)
    stage.runner.on_exit(DEAD, None, has_begun=False)
    stage.runner.start(Reset(5, 1), ORIGIN)
    assert not stage.codes
    assert len(other.asked) == 1


def test_no_worker_is_a_refusal() -> None:
    stage = Stage()
    stage.runner.start(Open(1, 1), ORIGIN)
    assert stage.codes == [SessionCreationError.code]


def test_an_environment_that_cannot_be_made_is_none() -> None:
    stage = Stage(FakeWorker())
    stage.play(Open(1, 1), Error(0, EnvironmentFactoryError.code, "no"))
    assert not stage.runner.has_environment


def test_partial_observations_wait_for_a_client_that_has_no_room() -> None:
    stage, worker = opened()
    ORIGIN.room = None
    stage.runner.on_partial(ORIGIN, Partial(0, msgspec.Raw(b"\x80")), 7)
    assert not worker.log
    origin = FakeOrigin()
    origin.room = object()
    stage.runner.on_partial(origin, Partial(0, msgspec.Raw(b"\x80")), 7)
    assert worker.log == ["pause"]
    assert [partial.id for partial in stage.session.partials] == [7, 7]


def test_an_abandoned_environment_is_left_to_its_worker() -> None:
    stage, worker = opened()
    stage.runner.abandon()
    stage.runner.release()
    stage.runner.on_exit(DEAD, (Step(5, 1, msgspec.Raw(b"\x80")), ORIGIN), has_begun=True)
    assert worker.log == ["abandon"]
    assert not stage.codes


def test_a_closed_environment_is_forgotten() -> None:
    stage, worker = opened()
    stage.runner.release()
    assert worker.log == ["forget"]
