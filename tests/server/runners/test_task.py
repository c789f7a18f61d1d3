"""TaskRunner: when a session owns a task, and how a call of it is ended early."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from openenv.environment import Environment
from openenv.protocol.frames import Close, Closed, Error, Open, Opened, Reset, Result, Step
from openenv.server.runners.spec import EnvironmentSpec
from openenv.server.runners.task import LINGER_S, TaskRunner
from openenv.server.runners.thread import EnvironmentThreads
from openenv.server.sessions.task_group import HostedTaskGroup
from tests.patience import patient, within
from tests.server.fakes import FakeDeadlines, FakeOrigin, FakeSession

EMPTY, HANG, CLEAN, STREAM = (
    b"\x80",
    b"\x81\xa2do\xa4hang",
    b"\x81\xa2do\xa5clean",
    b"\x81\xa2do\xa6stream",
)


class Async(Environment[dict[str, Any], dict[str, Any], Any]):
    """Notes what happens in its calls; `began` and `gate` belong to the test's event loop."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.tasks: set[asyncio.Task[Any] | None] = set()

    async def reset(self) -> dict[str, Any]:
        self.log.append("reset")
        return {}

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:
        self.log.append("step")
        self.tasks.add(asyncio.current_task())
        match action.get("do"):
            case "hang":
                await self._hang()
            case "clean":
                try:
                    await self._hang()
                finally:
                    await asyncio.sleep(0)
                    self.log.append("cleaned")
        return {}

    async def _hang(self) -> None:
        self.began.set()
        await self.gate.wait()

    async def close(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.log.append("close")


class Stubborn(Async):
    async def _hang(self) -> None:
        while not self.gate.is_set():
            try:
                await super()._hang()
            except asyncio.CancelledError:
                self.log.append("ignored")


class Mixed(Async):
    """Its reset is an ordinary function, so that it and the constructor run on a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.thread_gate = threading.Event()
        self.threads = [threading.current_thread()]

    def reset(self, wait: bool = False) -> dict[str, Any]:  # type: ignore[override]
        self.threads.append(threading.current_thread())
        if wait:
            self.thread_gate.wait(patient(10))
        return {}


class Streaming(Async):
    async def step(self, action: dict[str, Any]) -> Any:
        for number in range(3):
            yield {"number": number}


class Stage:
    """A runner, what it is given, and the environment that it has made."""

    def __init__(self, cls: type) -> None:
        self.group = HostedTaskGroup()
        self.group.start()
        self.deadlines = FakeDeadlines()
        self.session = FakeSession()
        self.origin = FakeOrigin()
        self.threads = EnvironmentThreads(shares_one=False)
        self.threads.start(asyncio.get_running_loop())
        self.before = asyncio.all_tasks()
        self.spec = EnvironmentSpec(cls, cls)
        self.runner = TaskRunner(
            self.spec, self.session, self._spawn, self.deadlines, self.threads.make
        )
        self.spawned = 0

    def _spawn(self, *call: Any) -> None:
        self.spawned += 1
        self.group.spawn(*call)

    async def ask(self, frame: Any) -> Any:
        self.runner.start(frame, self.origin)
        return await self.session.reply()

    @property
    def environment(self) -> Any:
        assert self.runner.bound is not None
        return self.runner.bound.environment

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        return asyncio.all_tasks() - self.before

    async def idle(self) -> None:
        """Wait until the task waits for a request."""
        await until(lambda: self.runner in self.deadlines.pending)

    async def end_of_task(self) -> None:
        await until(lambda: not self.tasks)


async def until(is_so: Callable[[], bool]) -> None:
    """Give other tasks their turns."""
    async with within(10):
        while not is_so():
            await asyncio.sleep(0)


@asynccontextmanager
async def stage_of(cls: type) -> AsyncIterator[Stage]:
    """A stage whose environment is made and reset."""
    stage = Stage(cls)
    assert await stage.ask(Open(1, 1)) == Opened(1, "token")
    assert type(await stage.ask(Reset(2, 1))) is Result
    await stage.idle()
    yield stage
    stage.runner.release()
    await stage.group.stop()


# ---- the task's life


async def test_requests_in_short_order_run_in_one_task() -> None:
    async with stage_of(Async) as stage:
        for number in (3, 4, 5):
            assert type(await stage.ask(Step(number, 1, EMPTY))) is Result
            await stage.idle()
        assert len(stage.environment.tasks) == 1
        assert stage.spawned == 1


async def test_an_idle_runner_owns_no_task_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    async with stage_of(Async) as stage:
        assert stage.deadlines.pending == {stage.runner: LINGER_S}
        assert len(stage.tasks) == 1
        stage.deadlines.expire(stage.runner)
        await stage.end_of_task()
        assert not stage.deadlines.pending
        assert not caplog.records


async def test_the_next_request_after_a_pause_starts_another_task() -> None:
    async with stage_of(Async) as stage:
        await stage.ask(Step(3, 1, EMPTY))
        await stage.idle()
        stage.deadlines.expire(stage.runner)
        await stage.end_of_task()
        assert type(await stage.ask(Step(4, 1, EMPTY))) is Result
        assert len(stage.environment.tasks) == 2
        assert stage.spawned == 2


async def test_a_request_that_comes_with_the_deadline_is_not_lost() -> None:
    async with stage_of(Async) as stage:
        stage.deadlines.expire(stage.runner)
        assert type(await stage.ask(Step(3, 1, EMPTY))) is Result


async def test_the_deadline_of_an_idle_task_ends_with_the_next_request() -> None:
    async with stage_of(Async) as stage:
        stage.runner.start(Step(3, 1, HANG), stage.origin)
        await stage.environment.began.wait()
        assert not stage.deadlines.pending
        stage.environment.gate.set()
        assert type(await stage.session.reply()) is Result


async def test_the_task_ends_with_its_session() -> None:
    async with stage_of(Async) as stage:
        assert stage.tasks
        environment = stage.environment
        assert type(await stage.ask(Close(3, 1))) is Closed
        stage.runner.release()
        await stage.end_of_task()
        assert environment.log[-1] == "close"
        assert not stage.deadlines.pending
        assert not stage.runner.has_environment


async def test_an_idle_task_ends_with_the_group() -> None:
    async with stage_of(Async) as stage:
        await stage.group.stop()
        assert not stage.tasks
        assert not stage.deadlines.pending


async def test_a_running_task_ends_with_the_group() -> None:
    async with stage_of(Async) as stage:
        stage.runner.start(Step(3, 1, CLEAN), stage.origin)
        await stage.environment.began.wait()
        async with within(10):
            await stage.group.stop()
        assert not stage.tasks


# ---- calls that are ended early


async def test_a_call_that_is_interrupted_may_await_to_clean_up() -> None:
    async with stage_of(Async) as stage:
        stage.runner.start(Step(3, 1, CLEAN), stage.origin)
        await stage.environment.began.wait()
        assert stage.runner.interrupt()
        reply = await stage.session.reply()
        assert (reply.id, reply.code) == (3, "CANCELLED")
        assert stage.environment.log == ["reset", "step", "cleaned"]


async def test_the_call_after_an_interrupted_one_sees_nothing_of_it() -> None:
    async with stage_of(Async) as stage:
        for number in (3, 5):
            stage.environment.began.clear()
            stage.runner.start(Step(number, 1, HANG), stage.origin)
            await stage.environment.began.wait()
            stage.runner.interrupt()
            assert (await stage.session.reply()).code == "CANCELLED"
            assert type(await stage.ask(Step(number + 1, 1, EMPTY))) is Result
        [task] = stage.environment.tasks
        assert task.cancelling() == 0


async def test_a_call_is_interrupted_before_it_has_begun() -> None:
    async with stage_of(Async) as stage:
        stage.runner.start(Step(3, 1, EMPTY), stage.origin)
        assert stage.runner.interrupt()
        assert (await stage.session.reply()).code == "CANCELLED"
        assert stage.environment.log == ["reset"]
        assert type(await stage.ask(Step(4, 1, EMPTY))) is Result


async def test_a_cancellation_that_nobody_has_asked_for_is_the_environment_s_fault() -> None:
    class Cancelling(Async):
        async def step(self, action: dict[str, Any]) -> dict[str, Any]:
            raise asyncio.CancelledError

    async with stage_of(Cancelling) as stage:
        assert (await stage.ask(Step(3, 1, EMPTY))).code == "ENVIRONMENT_FAULT"
        assert type(await stage.ask(Reset(4, 1))) is Result


async def test_a_call_that_ignores_its_cancellation_is_left_behind_and_closed_in_the_end() -> None:
    async with stage_of(Stubborn) as stage:
        environment = stage.environment
        stage.runner.start(Step(3, 1, HANG), stage.origin)
        await environment.began.wait()
        stage.runner.interrupt()
        await until(lambda: "ignored" in environment.log)
        stage.runner.abandon()
        stage.runner.release()
        assert stage.runner.has_environment
        environment.gate.set()
        await stage.end_of_task()
        assert environment.log[-1] == "close"
        assert not stage.session.replies
        assert not stage.runner.has_environment


async def test_a_close_that_was_left_behind_is_not_made_again() -> None:
    class Closing(Async):
        async def close(self) -> None:  # type: ignore[override]
            self.log.append("close")
            await self._hang()

    async with stage_of(Closing) as stage:
        environment = stage.environment
        stage.runner.start(Close(3, 1), stage.origin)
        await environment.began.wait()
        stage.runner.abandon()
        stage.runner.release()
        await stage.end_of_task()
        assert environment.log == ["reset", "close"]


# ---- the thread beside it


async def test_ordinary_functions_run_on_a_thread_and_async_ones_do_not() -> None:
    async with stage_of(Mixed) as stage:
        environment = stage.environment
        assert len(set(environment.threads)) == 1
        assert environment.threads[0] is not threading.current_thread()
        await stage.ask(Step(3, 1, EMPTY))
        assert len(environment.tasks) == 1


async def test_an_async_environment_needs_no_thread() -> None:
    threads = threading.active_count()
    async with stage_of(Async) as stage:
        await stage.ask(Step(3, 1, EMPTY))
        assert threading.active_count() == threads


async def test_a_call_on_the_thread_cannot_be_interrupted_but_left_behind() -> None:
    async with stage_of(Mixed) as stage:
        environment = stage.environment
        stage.runner.start(Reset(3, 1, options={"wait": True}), stage.origin)
        await until(lambda: len(environment.threads) == 3)
        assert not stage.runner.interrupt()
        stage.runner.abandon()
        stage.runner.release()
        assert stage.threads.hung == 1
        environment.thread_gate.set()
        await stage.end_of_task()
        assert stage.threads.hung == 0
        assert environment.log[-1] == "close"
        assert not stage.session.replies


async def test_a_system_without_threads_is_told_to_the_client() -> None:
    stage = Stage(Mixed)

    def refuse() -> Any:
        raise RuntimeError("can't start new thread")

    stage.runner._make_thread = refuse
    assert (await stage.ask(Open(1, 1))).code == "SESSION_CREATION_FAILED"
    stage.runner.release()
    await stage.group.stop()


# ---- streams


async def test_a_stream_waits_for_room() -> None:
    async with stage_of(Streaming) as stage:
        stage.origin.room = asyncio.get_running_loop().create_future()
        stage.runner.start(Step(3, 1, EMPTY, stream=True), stage.origin)
        await stage.session.until(lambda: bool(stage.session.partials))
        assert not stage.session.replies
        room, stage.origin.room = stage.origin.room, None
        room.set_result(None)
        assert (await stage.session.reply()).observation == {"number": 2}
        assert [one.observation["number"] for one in stage.session.partials] == [0, 1]


async def test_a_stream_that_waits_for_room_can_be_interrupted() -> None:
    async with stage_of(Streaming) as stage:
        stage.origin.room = asyncio.get_running_loop().create_future()
        stage.runner.start(Step(3, 1, EMPTY, stream=True), stage.origin)
        await stage.session.until(lambda: bool(stage.session.partials))
        stage.runner.interrupt()
        assert (await stage.session.reply()).code == "CANCELLED"
        assert len(stage.session.partials) == 1


async def test_a_stream_that_interrupts_itself_by_what_it_sends_spoils_no_later_call() -> None:
    async with stage_of(Streaming) as stage:
        emit = stage.session.emit

        def overflow(origin: Any, partial: Any) -> None:
            emit(origin, partial)
            stage.runner.interrupt()

        stage.session.emit = overflow  # type: ignore[method-assign]
        assert (await stage.ask(Step(3, 1, EMPTY, stream=True))).code == "CANCELLED"
        assert len(stage.session.partials) == 1
        await stage.idle()
        assert type(await stage.ask(Step(4, 1, EMPTY))) is Result
        assert stage.spawned == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_only_who_streams_gets_partial_observations(stream: bool) -> None:
    async with stage_of(Streaming) as stage:
        assert type(await stage.ask(Step(3, 1, EMPTY, stream=stream))) is Result
        assert len(stage.session.partials) == (2 if stream else 0)


async def test_a_constructor_that_fails_is_told_and_the_next_reset_tries_again() -> None:
    class Failing(Async):
        failures = 1

        def __init__(self) -> None:
            if Failing.failures:
                Failing.failures -= 1
                raise ValueError("as asked")
            super().__init__()

    stage = Stage(Failing)
    reply = await stage.ask(Open(1, 1))
    assert type(reply) is Error
    assert reply.code == "ENVIRONMENT_FACTORY_FAILED"
    assert not stage.runner.has_environment
    assert type(await stage.ask(Reset(2, 1))) is Result
    stage.runner.release()
    await stage.group.stop()
