"""HostedTaskGroup: tasks that callbacks ask for, and that end with the group."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from openenv.server.sessions.task_group import HostedTaskGroup
from tests.patience import within


async def hang(began: asyncio.Event, log: list[str]) -> None:
    began.set()
    try:
        await asyncio.Event().wait()
    finally:
        log.append("ended")


async def work(done: asyncio.Event) -> None:
    done.set()


async def fail() -> None:
    raise ValueError("as asked")


@pytest.fixture
def tasks() -> HostedTaskGroup:
    return HostedTaskGroup()


async def test_a_callback_of_the_event_loop_can_ask_for_a_task(tasks: HostedTaskGroup) -> None:
    done = asyncio.Event()
    tasks.start()
    asyncio.get_running_loop().call_soon(tasks.spawn, work, done)
    async with within(5):
        await done.wait()
        await tasks.stop()


async def test_a_task_runs_in_the_group_and_not_in_the_task_that_asked(
    tasks: HostedTaskGroup,
) -> None:
    names: asyncio.Queue[str] = asyncio.Queue()

    async def tell() -> None:
        task = asyncio.current_task()
        assert task is not None
        names.put_nowait(task.get_name())

    tasks.start()
    async with within(5):
        tasks.spawn(tell)
        current = asyncio.current_task()
        assert current is not None
        assert await names.get() != current.get_name()
        await tasks.stop()


async def test_a_task_that_fails_is_logged_and_ends_no_other(
    tasks: HostedTaskGroup, caplog: pytest.LogCaptureFixture
) -> None:
    began, done, log = asyncio.Event(), asyncio.Event(), list[str]()
    tasks.start()
    async with within(5):
        tasks.spawn(hang, began, log)
        await began.wait()
        tasks.spawn(fail)
        tasks.spawn(work, done)
        await done.wait()
        assert tasks.is_running
        assert not tasks.has_failed
        assert log == []
        await tasks.stop()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info is not None for record in errors] == [True]


async def cancelled_while_it_waits() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    await asyncio.Event().wait()


async def cancelled_by_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


@pytest.mark.parametrize("cancelled", [cancelled_while_it_waits, cancelled_by_itself])
async def test_a_task_that_is_cancelled_ends_no_other(
    tasks: HostedTaskGroup, cancelled: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    began, ended, log = asyncio.Event(), asyncio.Event(), list[str]()

    async def tell_the_end() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: ended.set())
        await cancelled()

    tasks.start()
    async with within(5):
        tasks.spawn(hang, began, log)
        await began.wait()
        tasks.spawn(tell_the_end)
        await ended.wait()
        done = asyncio.Event()
        tasks.spawn(work, done)
        await done.wait()
        assert tasks.is_running
        assert log == []
        await tasks.stop()


async def test_stopping_cancels_what_runs_and_waits_for_it(tasks: HostedTaskGroup) -> None:
    began, log = asyncio.Event(), list[str]()
    tasks.start()
    async with within(5):
        tasks.spawn(hang, began, log)
        await began.wait()
        await tasks.stop()
    assert log == ["ended"]
    assert not tasks.is_running
    assert not tasks.has_failed


async def test_it_starts_anew_after_it_has_stopped(tasks: HostedTaskGroup) -> None:
    async with within(5):
        for _ in range(2):
            done = asyncio.Event()
            tasks.start()
            tasks.spawn(work, done)
            await done.wait()
            await tasks.stop()
        await tasks.stop()
    assert not tasks.is_running


def test_it_starts_anew_on_another_event_loop(tasks: HostedTaskGroup) -> None:
    async def use() -> None:
        done = asyncio.Event()
        tasks.start()
        tasks.spawn(work, done)
        async with within(5):
            await done.wait()
            await tasks.stop()

    asyncio.run(use())
    asyncio.run(use())


async def test_starting_twice_runs_one_host(tasks: HostedTaskGroup) -> None:
    tasks.start()
    before = asyncio.all_tasks()
    tasks.start()
    assert asyncio.all_tasks() == before
    await tasks.stop()


async def test_a_host_that_was_cancelled_from_outside_has_failed(tasks: HostedTaskGroup) -> None:
    before = asyncio.all_tasks()
    tasks.start()
    [host] = asyncio.all_tasks() - before
    assert not tasks.has_failed
    host.cancel()
    await asyncio.wait([host])
    assert tasks.has_failed
    assert not tasks.is_running


async def test_a_host_that_was_cancelled_does_not_cancel_whoever_stops_the_group() -> None:
    group = HostedTaskGroup()
    group.start()
    await asyncio.sleep(0)
    assert group._host is not None
    group._host.cancel()
    await group.stop()
    assert not group.is_running


async def test_what_is_asked_for_while_a_group_stops_does_not_run_in_its_next_life() -> None:
    ran: list[str] = []

    async def run(name: str) -> None:
        ran.append(name)

    group = HostedTaskGroup()
    group.start()
    await asyncio.sleep(0)
    stopping = asyncio.create_task(group.stop())
    await asyncio.sleep(0)
    group.spawn(run, "too late")
    await stopping
    group.start()
    group.spawn(run, "next")
    while not ran:
        await asyncio.sleep(0)
    await group.stop()
    assert ran == ["next"]
