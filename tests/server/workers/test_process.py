"""WorkerProcess: order, deadlines and the end, without a process: the test is the other end."""

import asyncio
import signal
from typing import Any

import msgspec
import pytest

from openenv.environment import Environment
from openenv.errors import WorkerDied
from openenv.models import EnvironmentInfo
from openenv.protocol.frames import Close, Closed, Error, GetState, Partial, Reset, Result, Step
from openenv.server.config import ServerConfig
from openenv.server.runners.spec import EnvironmentSpec
from openenv.server.workers import process as module
from openenv.server.workers.blueprint import blueprint_of
from openenv.server.workers.frames import (
    Described,
    MessageReader,
    Ready,
    Setup,
    decode_requests,
    encode,
    parts_of,
)
from openenv.server.workers.process import WorkerProcess
from tests.server.fakes import FakeDeadlines, FakeLoop, FakeOrigin
from tests.worker_environments import Alone, Deadly


class FakePopen:
    """A process that has ended already, so that nothing is ever killed."""

    pid = 0
    returncode = -signal.SIGKILL


class FakeTransport:
    def __init__(self) -> None:
        self.log: list[str] = []
        self._reader = MessageReader()
        self.messages: list[bytes] = []

    def writelines(self, parts: list[bytes]) -> None:
        for part in parts:
            self.messages += [bytes(message) for message in self._reader.feed(part)]

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")

    def close(self) -> None:
        self.log.append("close")


class FakeRunner:
    """One environment of the worker, with a session that has a deadline."""

    def __init__(self) -> None:
        self.number = 0
        self.left_s: float | None = None
        self.is_abandoned = False
        self.session: Any = object()
        self.replies: list[Any] = []
        self.partials: list[Any] = []
        self.ended: list[Any] = []

    def on_reply(self, frame: Any, origin: Any, reply: Any) -> None:
        self.replies.append((frame, reply))

    def on_partial(self, origin: Any, partial: Any, request_id: int) -> None:
        self.partials.append((partial, request_id))

    def on_exit(self, error: Any, request: Any, *, has_begun: bool) -> None:
        self.ended.append((request and request[0], has_begun))
        assert type(error) is WorkerDied


class Stage:
    """A worker, and the pool that owns it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cls: type[Environment]) -> None:
        monkeypatch.setattr(module, "_start", lambda _: FakePopen())
        self.spec = EnvironmentSpec(cls, cls, execution="process")
        self.config = ServerConfig(worker_grace_s=5.0)
        self.blueprint = blueprint_of(cls, [], debug=False)
        self.deadlines = FakeDeadlines()
        self.complaints: list[str] = []
        self.worker = WorkerProcess(self)
        self.loop: Any = FakeLoop()
        self.turn: list[Any] = []
        "What the event loop is to do at the end of its turn."
        self.loop.call_soon = self.turn.append
        self.worker._loop = self.loop
        self.transport = FakeTransport()

    def wake(self, complaint: str = "") -> None:
        self.complaints.append(complaint)

    def connect(self) -> None:
        self.worker.connection_made(self.transport)
        self.say(Ready())
        self.transport.messages.clear()

    def close(self) -> None:
        self.worker._socket.close()

    def host(self) -> FakeRunner:
        runner: Any = FakeRunner()
        self.worker.host(runner)
        return runner

    def ask(self, runner: Any, frame: Any, limit_s: float | None = 5.0) -> None:
        """Ask for a call whose deadline runs already, as that of a session's call does."""
        if limit_s is not None:
            self.deadlines.set(runner.session, limit_s)
        self.worker.ask(runner, frame, FakeOrigin(), type(frame)(runner.number, 1))

    def say(self, *frames: Any) -> None:
        """Let the process send these."""
        self.worker.data_received(b"".join(parts_of(encode(list(frames)))))

    def asked(self) -> list[Any]:
        """Return what the process was sent, in whole turns of the event loop."""
        while self.turn:
            self.turn.pop(0)()
        return [frame for message in self.transport.messages for frame in decode_requests(message)]


@pytest.fixture(params=[Deadly])
async def stage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    stage = Stage(monkeypatch, request.param)
    yield stage
    stage.close()


RESET, STATE, RESULT = Reset(7, 1), GetState(7, 1), Result(0, {})


# ---- starting


async def test_the_first_message_says_what_is_served(stage: Stage) -> None:
    stage.worker.connection_made(stage.transport)
    [message] = stage.transport.messages
    assert msgspec.msgpack.decode(message, type=Setup).blueprint == stage.blueprint
    assert not stage.worker.is_ready
    assert stage.worker.is_usable


async def test_requests_wait_until_the_worker_is_ready(stage: Stage) -> None:
    runner = stage.host()
    stage.worker.connection_made(stage.transport)
    stage.transport.messages.clear()
    stage.ask(runner, STATE)
    assert stage.transport.messages == []
    stage.say(Ready())
    assert [type(frame) for frame in stage.asked()] == [GetState]
    assert stage.complaints == [""]


async def test_a_worker_that_cannot_start_says_why(stage: Stage) -> None:
    stage.worker.connection_made(stage.transport)
    stage.say(Error(0, "CONFIGURATION_ERROR", "no such module"))
    assert stage.complaints == ["no such module"]
    assert not stage.worker.is_ready


async def test_what_an_environment_says_of_itself_is_remembered(stage: Stage) -> None:
    stage.connect()
    info = EnvironmentInfo(name="deadly", description="kills")
    stage.say(Described(info))
    assert stage.spec.info == info


# ---- order and deadlines


async def test_requests_of_one_turn_leave_in_one_message(stage: Stage) -> None:
    stage.connect()
    for runner in (stage.host(), stage.host(), stage.host()):
        stage.ask(runner, RESET)
    assert [frame.id for frame in stage.asked()] == [1, 2, 3]
    assert len(stage.transport.messages) == 1


async def test_replies_come_in_the_order_of_the_requests(stage: Stage) -> None:
    stage.connect()
    first, second = stage.host(), stage.host()
    stage.ask(first, STATE)
    stage.ask(second, RESET)
    stage.say(Result(0, {}), Result(0, {}))
    assert [frame for frame, _ in first.replies] == [STATE]
    assert [frame for frame, _ in second.replies] == [RESET]


async def test_the_deadline_stops_while_a_request_queues_and_goes_on_with_its_turn(
    stage: Stage,
) -> None:
    stage.connect()
    first, second, third = stage.host(), stage.host(), stage.host()
    for runner, limit_s in ((first, 1.0), (second, 2.0), (third, 3.0)):
        stage.ask(runner, RESET, limit_s)
    assert stage.deadlines.pending == {first.session: 1.0}
    stage.deadlines.pending.clear()
    stage.say(RESULT)
    assert stage.deadlines.pending == {second.session: 2.0}
    stage.deadlines.pending.clear()
    stage.say(RESULT)
    assert stage.deadlines.pending == {third.session: 3.0}
    assert third.left_s is None


async def test_a_deadline_that_was_brought_forward_meanwhile_stays(stage: Stage) -> None:
    stage.connect()
    first, second = stage.host(), stage.host()
    stage.ask(first, RESET)
    stage.ask(second, RESET, 60.0)
    stage.deadlines.bring_forward(second.session, 2.0)
    stage.say(RESULT)
    assert stage.deadlines.pending[second.session] == 2.0


async def test_only_steps_and_resets_have_their_deadline_stopped(stage: Stage) -> None:
    stage.connect()
    first, second, third = stage.host(), stage.host(), stage.host()
    stage.ask(first, RESET)
    stage.ask(second, STATE, 2.0)
    stage.ask(third, Close(7, 1), 3.0)
    assert (stage.deadlines.pending[second.session], stage.deadlines.pending[third.session]) == (
        2.0,
        3.0,
    )


async def test_a_call_without_a_deadline_gets_none_with_its_turn(stage: Stage) -> None:
    stage.connect()
    first, second = stage.host(), stage.host()
    stage.ask(first, RESET)
    stage.ask(second, RESET, None)
    stage.say(RESULT)
    assert second.session not in stage.deadlines.pending


# ---- streams


async def test_a_partial_observation_belongs_to_the_running_call(stage: Stage) -> None:
    stage.connect()
    first, second = stage.host(), stage.host()
    stage.worker.ask(first, Step(7, 1, {}), FakeOrigin(), Step(1, 1, {}))  # type: ignore[arg-type]
    stage.ask(second, RESET)
    stage.say(Partial(1, {}))
    assert [number for _, number in first.partials] == [7]
    assert second.partials == []
    first.is_abandoned = True
    stage.say(Partial(1, {}))
    assert len(first.partials) == 1


async def test_reading_pauses_until_there_is_room(stage: Stage) -> None:
    stage.connect()
    rooms = [asyncio.get_running_loop().create_future() for _ in range(2)]
    for room in rooms:
        stage.worker.pause_until(room)
    assert stage.transport.log == ["pause"]
    rooms[0].set_result(None)
    await asyncio.sleep(0)
    assert stage.transport.log == ["pause", "resume"]


async def test_a_call_that_was_left_behind_is_read_although_its_client_has_no_room(
    stage: Stage,
) -> None:
    stage.connect()
    runner: Any = stage.host()
    stage.ask(runner, RESET)
    stage.worker.pause_until(asyncio.get_running_loop().create_future())
    runner.is_abandoned = True
    stage.worker.abandon(runner)
    assert stage.transport.log == ["pause", "resume"]


# ---- calls that were left behind


async def test_an_environment_that_was_left_behind_is_closed_and_forgotten(stage: Stage) -> None:
    stage.connect()
    runner: Any = stage.host()
    stage.ask(runner, RESET)
    runner.is_abandoned = True
    stage.worker.abandon(runner)
    assert [type(frame) for frame in stage.asked()] == [Reset, Close]
    assert stage.worker.is_blocked
    stage.say(RESULT, Closed(0, 0))
    assert runner.replies == []
    assert not stage.worker.is_blocked
    assert stage.worker.load == 0


async def test_a_close_that_was_left_behind_is_not_asked_for_again(stage: Stage) -> None:
    stage.connect()
    runner: Any = stage.host()
    stage.ask(runner, Close(7, 1))
    runner.is_abandoned = True
    stage.worker.abandon(runner)
    assert [type(frame) for frame in stage.asked()] == [Close]
    stage.say(Closed(0, 0))
    assert stage.worker.load == 0


async def test_a_call_that_ends_within_the_grace_keeps_the_worker(stage: Stage) -> None:
    stage.connect()
    runner: Any = stage.host()
    stage.ask(runner, RESET)
    runner.is_abandoned = True
    stage.worker.abandon(runner)
    stage.loop.run_for(4.9)
    stage.say(RESULT, Closed(0, 0))
    stage.loop.run_for(60)
    assert stage.worker.is_usable


async def test_a_call_that_hangs_beyond_the_grace_takes_the_worker_along(stage: Stage) -> None:
    stage.connect()
    runner: Any = stage.host()
    stage.ask(runner, RESET)
    runner.is_abandoned = True
    stage.worker.abandon(runner)
    stage.loop.run_for(4.9)
    assert stage.worker.is_usable
    stage.loop.run_for(0.2)
    assert not stage.worker.is_usable


async def test_the_grace_of_a_call_that_queues_begins_with_its_turn(stage: Stage) -> None:
    stage.connect()
    first, second = stage.host(), stage.host()
    stage.ask(first, RESET)
    stage.ask(second, RESET)
    second.is_abandoned = True
    stage.worker.abandon(second)  # type: ignore[arg-type]
    stage.loop.run_for(60)
    assert stage.worker.is_usable
    stage.say(RESULT)
    stage.loop.run_for(5.1)
    assert not stage.worker.is_usable


@pytest.mark.parametrize("stage", [Alone], indirect=True)
async def test_there_is_no_grace_where_no_other_session_could_lose_anything(stage: Stage) -> None:
    stage.connect()
    runner: Any = stage.host()
    stage.ask(runner, RESET)
    runner.is_abandoned = True
    stage.worker.abandon(runner)
    assert not stage.worker.is_usable


# ---- the end


async def test_only_the_first_request_has_begun_when_the_process_ends(stage: Stage) -> None:
    stage.connect()
    first, second, idle = stage.host(), stage.host(), stage.host()
    stage.ask(first, RESET)
    stage.ask(second, STATE)
    stage.worker.on_exit()
    assert first.ended == [(RESET, True)]
    assert second.ended == [(STATE, False)]
    assert idle.ended == [(None, False)]
    assert stage.worker.load == 0
    assert not stage.worker.is_blocked


async def test_a_worker_that_sends_what_cannot_be_read_is_killed(stage: Stage) -> None:
    stage.connect()
    stage.say(("result", "no number"))
    assert not stage.worker.is_usable


async def test_a_worker_is_not_ready_once_its_socket_has_ended(stage: Stage) -> None:
    stage.connect()
    assert stage.worker.is_ready
    stage.worker.connection_lost(None)
    assert not stage.worker.is_ready
    assert not stage.worker.is_usable


async def test_stopping_ends_the_socket(stage: Stage) -> None:
    stage.connect()
    stage.worker.stop()
    assert stage.transport.log == ["close"]
    assert not stage.worker.is_usable


async def test_one_that_is_stopped_before_it_was_connected_is_lost(stage: Stage) -> None:
    stage.worker.stop()
    assert not stage.worker.is_usable


@pytest.mark.parametrize(
    ("code", "cause"),
    [(3, "status 3"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-250, "signal 250")],
)
def test_what_a_process_died_of_is_named(code: int, cause: str) -> None:
    assert cause in module._cause(code)
