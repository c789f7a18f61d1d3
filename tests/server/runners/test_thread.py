"""ThreadRunner and its threads: one per environment, left behind if a call hangs in it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from openenv.environment import Environment
from openenv.errors import RequestCancelled
from openenv.protocol.frames import Close, Closed, Open, Opened, Partial, Reset, Result, Step
from openenv.server.runners.spec import EnvironmentSpec
from openenv.server.runners.thread import (
    PARTIALS_AHEAD,
    EnvironmentThreads,
    LoopBridge,
    PartialEmitter,
    ThreadRunner,
)
from tests.patience import patient, within
from tests.server.fakes import FakeOrigin, FakeSession

EMPTY, HANG = b"\x80", b"\x81\xa4hang\xc3"


class OnThread(Environment[dict[str, Any], dict[str, Any], Any]):
    def __init__(self) -> None:
        self.log: list[str] = []
        self.threads = {threading.current_thread()}
        self.began, self.gate = threading.Event(), threading.Event()
        self.hangs_in_close = False

    def reset(self) -> dict[str, Any]:
        self.threads.add(threading.current_thread())
        return {}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        self.threads.add(threading.current_thread())
        if action.get("hang"):
            self._hang()
        return {}

    def close(self) -> None:
        self.threads.add(threading.current_thread())
        self.log.append("close")
        if self.hangs_in_close:
            self._hang()

    def _hang(self) -> None:
        self.began.set()
        self.gate.wait(patient(10))


class Streaming(OnThread):
    def step(self, action: dict[str, Any]) -> Any:
        for number in range(PARTIALS_AHEAD + 5):
            self.log.append("value")
            yield {"number": number}


class Stage:
    """A runner and what it is given."""

    def __init__(self, cls: type, threads: EnvironmentThreads) -> None:
        self.session, self.origin, self.threads = FakeSession(), FakeOrigin(), threads
        self.spec = EnvironmentSpec(cls, cls, is_shared=False)
        self.runner = ThreadRunner(self.spec, self.session, threads.make)

    async def ask(self, frame: Any) -> Any:
        self.runner.start(frame, self.origin)
        return await self.session.reply()

    async def open(self) -> None:
        assert await self.ask(Open(1, 1)) == Opened(1, "token")
        assert type(await self.ask(Reset(2, 1))) is Result

    @property
    def environment(self) -> Any:
        assert self.runner.bound is not None
        return self.runner.bound.environment

    async def hang(self, frame: Any) -> Any:
        """Start a call that hangs; return the environment."""
        environment = self.environment
        self.runner.start(frame, self.origin)
        assert await asyncio.to_thread(environment.began.wait, 10)
        return environment


@asynccontextmanager
async def stage_of(cls: type, *, shares_one: bool = False) -> AsyncIterator[Stage]:
    threads = EnvironmentThreads(shares_one=shares_one)
    threads.start(asyncio.get_running_loop())
    stage = Stage(cls, threads)
    await stage.open()
    yield stage
    stage.runner.release()
    threads.stop()


async def until(is_so: Any) -> None:
    """Give other tasks and threads their turns."""
    async with within(10):
        while not is_so():
            await asyncio.sleep(0)


async def join(threads: Any) -> None:
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


# ---- the runner


async def test_everything_of_an_environment_runs_on_one_thread() -> None:
    async with stage_of(OnThread) as stage:
        environment = stage.environment
        await stage.ask(Step(3, 1, EMPTY))
        assert type(await stage.ask(Close(4, 1))) is Closed
        [thread] = environment.threads
        assert thread is not threading.main_thread()
        stage.runner.release()
        await join(environment.threads)
        assert not stage.runner.has_environment


async def test_the_session_is_told_on_the_event_loop() -> None:
    async with stage_of(OnThread) as stage:
        threads: list[Any] = []
        complete = stage.session.complete

        def note(*arguments: Any) -> None:
            threads.append(threading.current_thread())
            complete(*arguments)

        stage.session.complete = note  # type: ignore[method-assign]
        await stage.ask(Step(3, 1, EMPTY))
        assert threads == [threading.current_thread()]


async def test_a_call_on_a_thread_cannot_be_interrupted() -> None:
    async with stage_of(OnThread) as stage:
        environment = await stage.hang(Step(3, 1, HANG))
        assert not stage.runner.interrupt()
        environment.gate.set()
        assert type(await stage.session.reply()) is Result


async def test_a_call_that_was_left_behind_is_closed_when_it_ends_and_tells_nobody() -> None:
    async with stage_of(OnThread) as stage:
        environment = await stage.hang(Step(3, 1, HANG))
        stage.runner.abandon()
        stage.runner.release()
        assert stage.threads.hung == 1
        environment.gate.set()
        await join(environment.threads)
        await until(lambda: not stage.threads.hung)
        assert environment.log == ["close"]
        assert not stage.session.replies


async def test_a_close_that_was_left_behind_is_not_made_again() -> None:
    async with stage_of(OnThread) as stage:
        stage.environment.hangs_in_close = True
        environment = await stage.hang(Close(3, 1))
        stage.runner.abandon()
        environment.gate.set()
        await join(environment.threads)
        assert environment.log == ["close"]


async def test_a_constructor_that_was_left_behind_and_fails_closes_nothing() -> None:
    began, gate = threading.Event(), threading.Event()

    class Unmakeable(OnThread):
        def __init__(self) -> None:
            began.set()
            gate.wait(patient(10))
            raise ValueError("as asked")

    threads = EnvironmentThreads(shares_one=False)
    threads.start(asyncio.get_running_loop())
    stage = Stage(Unmakeable, threads)
    stage.runner.start(Open(1, 1), stage.origin)
    assert await asyncio.to_thread(began.wait, 10)
    stage.runner.abandon()
    gate.set()
    await until(lambda: not threads.hung)
    assert not stage.session.replies


async def test_a_shared_instance_cannot_be_left_behind() -> None:
    environment = OnThread()
    spec = EnvironmentSpec(lambda: environment, environment, is_shared=True)
    threads = EnvironmentThreads(shares_one=False)
    assert not ThreadRunner(spec, FakeSession(), threads.make).can_abandon
    spec = EnvironmentSpec(OnThread, OnThread)
    assert ThreadRunner(spec, FakeSession(), threads.make).can_abandon


async def test_a_system_without_threads_is_told_to_the_client() -> None:
    def refuse() -> Any:
        raise RuntimeError("can't start new thread")

    session = FakeSession()
    runner = ThreadRunner(EnvironmentSpec(OnThread, OnThread), session, refuse)
    runner.start(Open(1, 1), FakeOrigin())
    assert [reply.code for reply in session.replies] == ["SESSION_CREATION_FAILED"]


# ---- streams


async def test_a_stream_is_no_more_than_a_few_values_ahead_of_its_client() -> None:
    async with stage_of(Streaming) as stage:
        stage.origin.room = asyncio.get_running_loop().create_future()
        stage.runner.start(Step(3, 1, EMPTY, stream=True), stage.origin)
        await stage.session.until(lambda: len(stage.session.partials) == PARTIALS_AHEAD)
        # The first value is sent when the second has come, and one more is in the thread's hands.
        await until(lambda: len(stage.environment.log) == PARTIALS_AHEAD + 2)
        room, stage.origin.room = stage.origin.room, None
        room.set_result(None)
        assert type(await stage.session.reply()) is Result
        assert len(stage.session.partials) == PARTIALS_AHEAD + 4


async def test_a_stream_without_room_that_is_left_behind_ends() -> None:
    async with stage_of(Streaming) as stage:
        environment = stage.environment
        stage.origin.room = asyncio.get_running_loop().create_future()
        stage.runner.start(Step(3, 1, EMPTY, stream=True), stage.origin)
        await stage.session.until(lambda: len(stage.session.partials) == PARTIALS_AHEAD)
        stage.runner.abandon()
        await join(environment.threads)
        assert environment.log[-1] == "close"
        assert not stage.session.replies


async def test_each_call_is_given_room_although_the_client_of_the_last_has_none() -> None:
    class Short(OnThread):
        def step(self, action: dict[str, Any]) -> Any:
            yield from [{}] * PARTIALS_AHEAD

    async with stage_of(Short) as stage:
        stage.origin.room = asyncio.get_running_loop().create_future()
        for number in (3, 4):
            assert type(await stage.ask(Step(number, 1, EMPTY, stream=True))) is Result


async def test_an_emitter_that_was_given_up_raises() -> None:
    emitter = PartialEmitter(FakeSession(), LoopBridge(asyncio.get_running_loop()))
    emitter.abandon()
    with pytest.raises(RequestCancelled):
        emitter.emit(FakeOrigin(), Partial(1, {}))


# ---- threads


async def test_a_class_that_demands_it_has_one_thread_for_all() -> None:
    async with stage_of(OnThread, shares_one=True) as stage:
        other = Stage(OnThread, stage.threads)
        await other.open()
        assert other.environment.threads == stage.environment.threads
        [thread] = other.environment.threads
        other.runner.release()
        assert type(await stage.ask(Step(3, 1, EMPTY))) is Result
        assert thread.is_alive()


async def test_a_shared_thread_that_hangs_is_replaced_and_serves_again_when_it_comes_back() -> None:
    async with stage_of(OnThread, shares_one=True) as stage:
        environment = await stage.hang(Step(3, 1, HANG))
        stage.runner.abandon()
        other = Stage(OnThread, stage.threads)
        await other.open()
        assert other.environment.threads != environment.threads
        environment.gate.set()
        await until(lambda: not stage.threads.hung)
        assert environment.log == ["close"]
        other.runner.release()
    stage.runner._thread.stop()  # type: ignore[union-attr]  # `threads` stops the newest only
    await join(environment.threads)


async def test_a_thread_that_hangs_counts_once() -> None:
    threads = EnvironmentThreads(shares_one=False)
    assert threads.hung == 0
    threads.start(asyncio.get_running_loop())
    thread = threads.make()
    thread.hang()
    thread.hang()
    assert threads.hung == 1
    thread.come_back()
    thread.come_back()
    assert threads.hung == 0
    thread.stop()


# ---- the bridge


async def test_calls_that_are_posted_run_in_order_on_the_event_loop() -> None:
    bridge, seen = LoopBridge(asyncio.get_running_loop()), list[Any]()

    def note(number: int) -> None:
        seen.append((number, threading.current_thread()))

    def post_all() -> None:
        for number in range(100):
            bridge.post(note, number)

    await asyncio.to_thread(post_all)
    await until(lambda: len(seen) == 100)
    assert seen == [(number, threading.current_thread()) for number in range(100)]


async def test_a_call_that_fails_takes_no_other_along(caplog: pytest.LogCaptureFixture) -> None:
    bridge, done = LoopBridge(asyncio.get_running_loop()), asyncio.Event()

    def fail() -> None:
        raise ValueError("as asked")

    bridge.post(fail)
    bridge.post(done.set)
    async with within(10):
        await done.wait()
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_result_that_comes_after_the_event_loop_is_dropped() -> None:
    loop = asyncio.new_event_loop()
    bridge = LoopBridge(loop)
    loop.close()
    bridge.post(print)
