"""SessionSlots: who gets a slot, in which order, and what becomes of those who stop waiting."""

from typing import Any

import pytest

from openenv.environment import Environment
from openenv.errors import ConcurrencyConfigurationError
from openenv.server.config import DEFAULT_SESSIONS, ServerConfig
from openenv.server.runners.convention import CallingConvention
from openenv.server.sessions.deadlines import DeadlineSweep
from openenv.server.sessions.slots import SessionSlots, session_limit
from tests.server.fakes import FakeLoop


class Waiter:
    """A session that waits for a slot, or has one."""

    def __init__(self, slots: SessionSlots, *, fails: bool = False) -> None:
        self.has_slot = False
        self.log: list[str] = []
        self._slots = slots
        self._fails = fails

    def grant_slot(self) -> None:
        self.log.append("granted")
        if self._fails:
            self._slots.release(self)

    def expire_deadline(self) -> None:
        self.log.append("expired")
        self._slots.release(self)


class Stage:
    """Slots of which `taken` have gone already, beside a clock that moves when it is told to."""

    def __init__(self, limit: int, taken: int) -> None:
        self.loop: Any = FakeLoop()
        self.deadlines = DeadlineSweep(lambda _: False)
        self.deadlines.start(self.loop)
        self.slots = SessionSlots(limit, self.deadlines)
        self.holders = [Waiter(self.slots) for _ in range(taken)]
        assert all(self.slots.reserve(holder) for holder in self.holders)

    def wait(self, wait_s: float = 10.0, *, fails: bool = False) -> Waiter:
        waiter = Waiter(self.slots, fails=fails)
        assert not self.slots.reserve(waiter)
        self.slots.wait(waiter, wait_s)
        return waiter


def test_there_are_as_many_slots_as_the_limit_says() -> None:
    stage = Stage(2, taken=2)
    third = Waiter(stage.slots)
    assert not stage.slots.reserve(third)
    assert (stage.slots.taken, third.has_slot) == (2, False)
    stage.slots.release(stage.holders[0])
    assert stage.slots.reserve(third)
    assert (stage.slots.taken, third.has_slot) == (2, True)


def test_slots_are_granted_in_the_order_of_asking() -> None:
    stage = Stage(1, taken=1)
    first, second = stage.wait(), stage.wait()
    stage.slots.release(stage.holders[0])
    assert (first.log, second.log) == (["granted"], [])
    assert (first.has_slot, second.has_slot, stage.slots.taken) == (True, False, 1)
    stage.slots.release(first)
    assert second.log == ["granted"]


def test_the_deadline_of_waiting_ends_with_the_waiting() -> None:
    stage = Stage(1, taken=1)
    waiter = stage.wait(3.0)
    stage.slots.release(stage.holders[0])
    stage.loop.run_for(10)
    assert waiter.log == ["granted"]
    assert waiter.has_slot


def test_one_that_is_granted_a_slot_in_the_sweep_of_its_own_deadline_keeps_it() -> None:
    stage = Stage(1, taken=1)
    [holder] = stage.holders
    stage.deadlines.set(holder, 3.0)
    waiter = stage.wait(3.0)
    stage.loop.run_for(10)
    assert holder.log == ["expired"]
    assert waiter.log == ["granted"]


def test_one_that_has_waited_in_vain_is_passed_over() -> None:
    stage = Stage(1, taken=1)
    hasty, enduring = stage.wait(1.0), stage.wait(3.5)
    stage.loop.run_for(2)
    assert hasty.log == ["expired"]
    stage.slots.release(stage.holders[0])
    assert hasty.log == ["expired"]
    assert enduring.log == ["granted"]


def test_one_that_fails_with_its_slot_hands_it_on() -> None:
    stage = Stage(1, taken=1)
    failing, next_one = stage.wait(fails=True), stage.wait()
    stage.slots.release(stage.holders[0])
    assert (failing.log, failing.has_slot) == (["granted"], False)
    assert (next_one.log, next_one.has_slot) == (["granted"], True)
    assert stage.slots.taken == 1


def test_nobody_overtakes_those_who_wait() -> None:
    stage = Stage(2, taken=1)
    overtaking = Waiter(stage.slots)
    stage.slots.wait(Waiter(stage.slots), 3.0)
    assert not stage.slots.reserve(overtaking)


def test_a_session_without_slot_and_place_gives_nothing_back() -> None:
    stage = Stage(1, taken=1)
    stage.slots.release(Waiter(stage.slots))
    stage.slots.release(stage.holders[0])
    stage.slots.release(stage.holders[0])
    assert stage.slots.taken == 0


def test_who_gets_none_is_told_how_many_there_are() -> None:
    error = Stage(3, taken=2).slots.capacity_error()
    assert error.code == "CAPACITY_REACHED"
    assert (error.details["active_sessions"], error.details["max_sessions"]) == (2, 3)
    assert error.details["retry_after_s"] > 0


class Single(Environment[Any, Any, Any]):
    def reset(self) -> Any: ...
    def step(self, action: Any) -> Any: ...


class Concurrent(Single):
    SUPPORTS_CONCURRENT_SESSIONS = True


class ConcurrentAsync(Concurrent):
    async def step(self, action: Any) -> Any: ...


@pytest.mark.parametrize(
    ("cls", "execution", "asked", "workers", "limit"),
    [
        (Single, None, None, None, 1),
        (Single, None, 1, None, 1),
        (Concurrent, None, 7, None, 7),
        (Concurrent, None, None, None, DEFAULT_SESSIONS["thread"]),
        (Concurrent, "inline", None, None, DEFAULT_SESSIONS["inline"]),
        (ConcurrentAsync, None, None, None, DEFAULT_SESSIONS["await"]),
        (Concurrent, "process", None, 2, DEFAULT_SESSIONS["process"]),
        (Concurrent, "process", 99, 2, 99),
        (Single, "process", None, 3, 3),
        (Single, "process", 2, 3, 2),
    ],
)
def test_the_limit_comes_from_the_settings_the_class_and_the_workers(
    cls: type, execution: str | None, asked: int | None, workers: int | None, limit: int
) -> None:
    config = ServerConfig(max_concurrent_envs=asked)
    assert session_limit("env", CallingConvention(cls, execution), config, workers) == limit


@pytest.mark.parametrize(
    ("execution", "asked", "workers"), [("thread", 2, None), ("inline", 2, None), ("process", 4, 3)]
)
def test_more_than_a_class_allows_is_refused(
    execution: str, asked: int, workers: int | None
) -> None:
    convention = CallingConvention(Single, execution)
    config = ServerConfig(max_concurrent_envs=asked)
    with pytest.raises(ConcurrencyConfigurationError):
        session_limit("env", convention, config, workers)
