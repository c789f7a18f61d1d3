"""WorkerRunner: what it asks of a worker, and what becomes of a request whose worker dies."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from openenv.environment import Environment
from openenv.errors import OpenEnvError, SessionCreationError, WorkerDied
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
from openenv.server.runners.queries import EnvironmentQuery
from openenv.server.runners.spec import EnvironmentSpec
from openenv.server.workers.frames import ResetNamed
from openenv.server.workers.runner import WorkerRunner
from tests.server.fakes import FakeOrigin, FakeSession

DIED = WorkerDied("a worker process was killed by SIGKILL")
PAYLOAD = msgspec.Raw(msgspec.msgpack.encode({"x": 1}))


class Plain(Environment[dict[str, Any], dict[str, Any], Any]):
    def reset(self) -> dict[str, Any]: ...
    def step(self, action: dict[str, Any]) -> dict[str, Any]: ...


class FakeWorker:
    """Remembers what it was asked; its process has never been started."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.log: list[str] = []

    def ask(self, runner: Any, frame: Any, origin: Any, request: Any) -> None:
        self.asked.append((frame, origin, request))

    def abandon(self, runner: Any) -> None:
        self.log.append("abandon")

    def forget(self, runner: Any) -> None:
        self.log.append("forget")

    def pause_until(self, room: Any) -> None:
        self.log.append("pause")


class Stage:
    """A runner among fakes. `workers` are those that were assigned, the newest last."""

    def __init__(self) -> None:
        self.session, self.origin = FakeSession(), FakeOrigin()
        self.workers: list[FakeWorker] = []
        self.refusal: OpenEnvError | None = None
        self.is_replacing = False
        self.runner = WorkerRunner(EnvironmentSpec(Plain, Plain), self.session, self)

    def assign(self, runner: WorkerRunner, frame: Any, origin: Any) -> Any:
        if self.refusal is not None:
            raise self.refusal
        if self.is_replacing:
            return None
        self.workers.append(FakeWorker())
        runner.number = 10 + len(self.workers)
        return self.workers[-1]

    def ask(self, frame: Any) -> Any:
        """Start a request; return what the worker was sent for it."""
        self.runner.start(frame, self.origin)
        return self.workers[-1].asked[-1][2] if self.workers[-1].asked else None

    def answer(self, reply: Any) -> Any:
        """Let the worker reply; return what the session is told."""
        frame, origin, _ = self.workers[-1].asked[-1]
        self.runner.on_reply(frame, origin, reply)
        return self.session.replies.pop()

    def open(self) -> None:
        self.ask(Open(1, 1))
        self.answer(Opened(0, ""))
        self.ask(Reset(2, 1))
        self.answer(Result(0, PAYLOAD))


@pytest.fixture
def stage() -> Stage:
    return Stage()


# ---- requests and replies


def test_a_worker_is_chosen_for_the_first_request_and_kept(stage: Stage) -> None:
    stage.open()
    stage.ask(Step(3, 1, PAYLOAD))
    [worker] = stage.workers
    assert [type(frame) for frame, _, _ in worker.asked] == [Open, Reset, Step]


@pytest.mark.parametrize(
    ("frame", "request_sent"),
    [
        (Step(3, 1, PAYLOAD, 5.0, stream=True), Step(11, 4, PAYLOAD, 5.0, stream=True)),
        (GetState(3, 1), GetState(11, 4)),
        (Close(3, 1), Close(11, 4)),
        (
            EnvironmentQuery(3, 1, "render", ("human",)),
            EnvironmentQuery(11, 4, "render", ("human",)),
        ),
    ],
)
def test_a_request_names_the_environment_and_the_payload_format(
    stage: Stage, frame: Any, request_sent: Any
) -> None:
    stage.open()
    assert stage.ask(frame) == request_sent


@pytest.mark.parametrize("episode_id", ["mine", None])
def test_an_episode_has_a_name_on_both_sides(stage: Stage, episode_id: str | None) -> None:
    stage.open()
    raw = stage.ask(Reset(3, 1, 7, episode_id, {"level": 2}))
    named = msgspec.msgpack.decode(raw, type=ResetNamed)
    assert (named.seed, named.episode_id, named.options) == (7, episode_id, {"level": 2})
    assert named.name
    assert named.name == stage.runner.episode.episode_id
    assert episode_id in (None, named.name)


def test_each_episode_has_another_name(stage: Stage) -> None:
    stage.open()
    first = stage.runner.episode
    stage.ask(Reset(3, 1))
    assert stage.runner.episode.episode_id != first.episode_id


def test_options_that_cannot_be_encoded_are_refused_without_asking_the_worker(
    stage: Stage,
) -> None:
    stage.open()
    stage.runner.start(Reset(3, 1, options={"x": object()}), stage.origin)
    assert [reply.code for reply in stage.session.replies] == ["PAYLOAD_ERROR"]
    assert len(stage.workers[-1].asked) == 2


def test_replies_have_the_numbers_of_the_client(stage: Stage) -> None:
    stage.ask(Open(1, 1))
    assert not stage.runner.has_environment
    assert stage.answer(Opened(0, "")) == Opened(1, "token")
    assert stage.runner.has_environment
    stage.ask(Step(3, 1, PAYLOAD))
    assert stage.answer(Result(0, PAYLOAD, 2.0)) == Result(3, {"x": 1}, 2.0)
    stage.ask(GetState(4, 1))
    assert stage.answer(StateReply(0, PAYLOAD)) == StateReply(4, {"x": 1})
    stage.ask(Close(5, 8))
    assert stage.answer(Closed(0, 0)) == Closed(5, 8)


def test_steps_that_have_returned_are_counted_on_this_side(stage: Stage) -> None:
    stage.open()
    for reply in (Result(0, PAYLOAD), Error(0, "ENVIRONMENT_FAULT", "ouch"), Result(0, PAYLOAD)):
        stage.ask(Step(3, 1, PAYLOAD))
        stage.answer(reply)
    assert stage.runner.episode.step_count == 2


@pytest.mark.parametrize(
    ("code", "has_environment"),
    [("ENVIRONMENT_FACTORY_FAILED", False), ("ENVIRONMENT_FAULT", True)],
)
def test_only_a_constructor_that_fails_leaves_no_environment(
    stage: Stage, code: str, has_environment: bool
) -> None:
    stage.ask(Open(1, 1))
    stage.answer(Error(0, code, "ouch"))
    assert stage.runner.has_environment is has_environment


def test_a_native_link_gets_payloads_as_they_are(stage: Stage) -> None:
    stage.origin.is_native = True  # type: ignore[attr-defined]
    stage.open()
    stage.ask(Step(3, 1, PAYLOAD))
    assert stage.answer(Result(0, PAYLOAD)).observation is PAYLOAD


def test_a_native_link_in_json_gets_the_text_that_the_worker_has_made(stage: Stage) -> None:
    stage.origin = FakeOrigin("json")
    stage.origin.is_native = True  # type: ignore[attr-defined]
    action = msgspec.Raw(b'{"x":1}')
    assert stage.ask(Step(3, 1, action)) == Step(11, 2, b'{"x":1}')
    text = msgspec.Raw(msgspec.msgpack.encode('{"y":2}'))
    assert bytes(stage.answer(Result(0, text)).observation) == b'{"y":2}'


def test_a_partial_observation_goes_to_the_session(stage: Stage) -> None:
    stage.open()
    stage.ask(Step(3, 1, PAYLOAD, stream=True))
    stage.runner.on_partial(stage.origin, Partial(11, PAYLOAD), 3)
    assert stage.session.partials == [Partial(3, {"x": 1})]
    assert stage.workers[-1].log == []


async def test_a_worker_pauses_while_the_client_has_no_room(stage: Stage) -> None:
    stage.open()
    stage.origin.room = asyncio.get_running_loop().create_future()
    stage.runner.on_partial(stage.origin, Partial(11, PAYLOAD), 3)
    assert stage.workers[-1].log == ["pause"]


# ---- no worker


def test_who_gets_no_worker_is_told(stage: Stage) -> None:
    stage.refusal = SessionCreationError("none is free")
    stage.runner.start(Open(1, 1), stage.origin)
    assert [reply.code for reply in stage.session.replies] == ["SESSION_CREATION_FAILED"]


def test_a_request_waits_while_its_worker_is_replaced(stage: Stage) -> None:
    stage.is_replacing = True
    stage.runner.start(Open(1, 1), stage.origin)
    assert stage.session.replies == []
    stage.is_replacing = False
    stage.ask(Open(1, 1))
    assert stage.answer(Opened(0, "")) == Opened(1, "token")


def test_a_close_without_a_worker_needs_none(stage: Stage) -> None:
    stage.runner.start(Close(1, 8), stage.origin)
    assert stage.session.replies == [Closed(1, 8, "closed")]
    assert not stage.workers


# ---- a worker dies


def dies(stage: Stage, *, has_begun: bool) -> None:
    frame, origin, _ = stage.workers[-1].asked[-1]
    stage.runner.on_exit(DIED, (frame, origin), has_begun=has_begun)


def test_a_reset_that_has_begun_is_not_replayed_in_another_worker(stage: Stage) -> None:
    stage.open()
    stage.ask(Reset(3, 1))
    dies(stage, has_begun=True)
    assert [(reply.id, reply.code) for reply in stage.session.replies] == [(3, "WORKER_DIED")]
    assert len(stage.workers) == 1
    assert stage.session.needs_reset


def test_a_reset_that_has_not_begun_begins_in_another_worker(stage: Stage) -> None:
    stage.open()
    stage.ask(Reset(3, 1, 7))
    dies(stage, has_begun=False)
    assert stage.session.replies == []
    [(frame, origin, _)] = stage.workers[1].asked
    assert (frame, origin) == (Reset(3, 1, 7), stage.origin)
    assert stage.answer(Result(0, PAYLOAD)).id == 3
    assert not stage.session.needs_reset


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_step_is_never_replayed_because_its_episode_is_lost(
    stage: Stage, has_begun: bool
) -> None:
    stage.open()
    stage.ask(Step(3, 1, PAYLOAD))
    dies(stage, has_begun=has_begun)
    assert [reply.code for reply in stage.session.replies] == ["WORKER_DIED"]
    assert len(stage.workers) == 1
    assert stage.session.needs_reset


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_close_of_an_environment_that_is_dead_is_a_close(stage: Stage, has_begun: bool) -> None:
    stage.open()
    stage.ask(Close(3, 8))
    dies(stage, has_begun=has_begun)
    assert stage.session.replies == [Closed(3, 8, "closed")]


@pytest.mark.parametrize("frame", [Step(3, 1, PAYLOAD), GetState(3, 1)])
def test_after_a_death_without_a_call_the_next_request_is_told_once(
    stage: Stage, frame: Any
) -> None:
    stage.open()
    stage.runner.on_exit(DIED, None, has_begun=False)
    assert not stage.runner.has_environment
    assert stage.session.replies == []
    stage.runner.start(frame, stage.origin)
    assert [reply.code for reply in stage.session.replies] == ["WORKER_DIED"]
    stage.session.replies.clear()
    assert type(stage.ask(GetState(4, 1))) is GetState
    assert len(stage.workers) == 2
    assert stage.answer(StateReply(0, PAYLOAD)).id == 4


def test_a_reset_after_a_death_need_not_know_of_it(stage: Stage) -> None:
    stage.open()
    stage.runner.on_exit(DIED, None, has_begun=False)
    stage.ask(Reset(3, 1))
    assert stage.answer(Result(0, PAYLOAD)).id == 3


# ---- the end


def do_nothing(_: WorkerRunner) -> None: ...


@pytest.mark.parametrize(
    ("before", "log"), [(do_nothing, ["forget"]), (WorkerRunner.abandon, ["abandon"])]
)
def test_a_worker_forgets_an_environment_unless_its_call_was_left_behind(
    stage: Stage, before: Callable[[WorkerRunner], None], log: list[str]
) -> None:
    stage.open()
    before(stage.runner)
    stage.runner.release()
    assert stage.workers[-1].log == log


def test_a_call_that_was_left_behind_tells_nobody_of_its_worker_s_death(stage: Stage) -> None:
    stage.open()
    stage.ask(Step(3, 1, PAYLOAD))
    stage.runner.abandon()
    dies(stage, has_begun=True)
    assert stage.session.replies == []
    assert not stage.session.needs_reset


def test_a_request_that_is_abandoned_before_it_has_a_worker_asks_none(stage: Stage) -> None:
    stage.is_replacing = True
    stage.runner.start(Open(1, 1), stage.origin)
    stage.runner.abandon()
    stage.runner.release()
    assert stage.runner.is_abandoned
    assert stage.session.replies == []
