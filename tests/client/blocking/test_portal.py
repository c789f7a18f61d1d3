"""The one event loop of all blocking clients of a process."""

import asyncio
import threading

import pytest

from openenv.client.blocking import portal


async def where() -> tuple[str, asyncio.AbstractEventLoop]:
    return threading.current_thread().name, asyncio.get_running_loop()


def test_calls_of_all_threads_run_on_one_loop() -> None:
    found = [portal.run(where)]
    threads = [threading.Thread(target=lambda: found.append(portal.run(where))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name for name, _ in found} == {portal.THREAD_NAME}
    assert len({loop for _, loop in found}) == 1


def test_an_error_is_raised_in_the_caller() -> None:
    async def fail(message: str) -> None:
        raise ValueError(message)

    with pytest.raises(ValueError, match="mine"):
        portal.run(fail, "mine")


async def test_it_works_inside_a_running_loop() -> None:
    _, loop = portal.run(where)
    assert loop is not asyncio.get_running_loop()


def test_a_stopped_loop_is_followed_by_another() -> None:
    _, before = portal.run(where)
    portal.stop()
    assert before.is_closed()
    _, after = portal.run(where)
    assert after is not before
