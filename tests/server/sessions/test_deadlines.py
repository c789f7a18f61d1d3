"""DeadlineSweep: when deadlines are told, on a clock that moves when it is told to."""

from collections.abc import Callable
from typing import Any

import pytest

from openenv.server.sessions.deadlines import SWEEP_S, DeadlineSweep
from tests.server.fakes import FakeLoop


class Target:
    """Remembers when its deadline has passed."""

    def __init__(self, loop: FakeLoop, then: Callable[[], None] = lambda: None) -> None:
        self.expired_at_s: list[float] = []
        self._loop = loop
        self._then = then

    def expire_deadline(self) -> None:
        self.expired_at_s.append(self._loop.now_s)
        self._then()


class Stage:
    def __init__(self) -> None:
        self.loop: Any = FakeLoop()
        self.swept_at_s: list[float] = []
        self.needs_more = False
        self.sweep = DeadlineSweep(self._on_sweep)
        self.sweep.start(self.loop)

    def _on_sweep(self, now_s: float) -> bool:
        self.swept_at_s.append(now_s)
        return self.needs_more


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_deadline_is_told_once_and_at_most_a_sweep_late(stage: Stage) -> None:
    target = Target(stage.loop)
    stage.sweep.set(target, 1.0)
    stage.loop.run_for(0.99)
    assert not target.expired_at_s
    stage.loop.run_for(10)
    [expired_at_s] = target.expired_at_s
    assert 101.0 <= expired_at_s <= 101.0 + SWEEP_S + 1e-9
    assert not stage.sweep.pending


def test_a_deadline_that_is_cleared_or_set_anew_is_not_told(stage: Stage) -> None:
    cleared, renewed = Target(stage.loop), Target(stage.loop)
    stage.sweep.set(cleared, 1.0)
    stage.sweep.set(renewed, 1.0)
    stage.sweep.clear(cleared)
    stage.sweep.set(renewed, 3.0)
    stage.loop.run_for(2)
    assert not cleared.expired_at_s
    assert not renewed.expired_at_s
    stage.loop.run_for(2)
    assert len(renewed.expired_at_s) == 1


@pytest.mark.parametrize(("asked_s", "kept_s"), [(1.0, 1.0), (5.0, 2.0)])
def test_bringing_a_deadline_forward_never_puts_it_off(
    stage: Stage, asked_s: float, kept_s: float
) -> None:
    target = Target(stage.loop)
    stage.sweep.set(target, 2.0)
    stage.sweep.bring_forward(target, asked_s)
    assert stage.sweep.pop(target) == pytest.approx(kept_s)


def test_bringing_forward_sets_a_deadline_where_there_is_none(stage: Stage) -> None:
    target = Target(stage.loop)
    stage.sweep.bring_forward(target, 2.0)
    assert stage.sweep.pop(target) == pytest.approx(2.0)


def test_popping_a_deadline_says_how_much_time_was_left(stage: Stage) -> None:
    target = Target(stage.loop)
    stage.sweep.set(target, 2.0)
    stage.loop.run_for(0.5)
    assert stage.sweep.pop(target) == pytest.approx(1.5)
    assert stage.sweep.pop(target) is None
    stage.loop.run_for(5)
    assert not target.expired_at_s


def test_nothing_ticks_while_there_is_nothing_to_look_at(stage: Stage) -> None:
    assert not stage.loop.is_ticking
    target = Target(stage.loop)
    stage.sweep.set(target, 0.2)
    assert stage.loop.is_ticking
    stage.loop.run_for(1)
    assert target.expired_at_s
    assert not stage.loop.is_ticking


def test_it_ticks_as_long_as_its_owner_has_something_to_look_at(stage: Stage) -> None:
    stage.needs_more = True
    stage.sweep.arm()
    stage.loop.run_for(1)
    assert len(stage.swept_at_s) == pytest.approx(1 / SWEEP_S, abs=1)
    stage.needs_more = False
    stage.loop.run_for(1)
    assert not stage.loop.is_ticking


def test_arming_twice_runs_one_timer(stage: Stage) -> None:
    stage.sweep.arm()
    stage.sweep.arm()
    assert len(stage.loop.timers) == 1


def test_the_clock_is_right_again_when_there_is_something_to_look_at(stage: Stage) -> None:
    stage.loop.run_for(50)
    assert stage.sweep.now_s == 100.0
    stage.sweep.arm()
    assert stage.sweep.now_s == 150.0
    stage.loop.run_for(SWEEP_S)
    assert stage.sweep.now_s == pytest.approx(150.0 + SWEEP_S)


def test_one_that_was_stopped_looks_at_nothing_until_it_starts_again(stage: Stage) -> None:
    target = Target(stage.loop)
    stage.sweep.set(target, 1.0)
    stage.sweep.stop()
    stage.sweep.arm()
    stage.loop.run_for(5)
    assert not target.expired_at_s
    assert not stage.loop.is_ticking
    stage.sweep.start(stage.loop)
    stage.sweep.arm()
    stage.loop.run_for(SWEEP_S)
    assert len(target.expired_at_s) == 1


def test_one_expiry_may_clear_or_renew_another_deadline_that_is_due(stage: Stage) -> None:
    cleared, renewed = Target(stage.loop), Target(stage.loop)

    def act() -> None:
        stage.sweep.clear(cleared)
        stage.sweep.set(renewed, 1.0)

    first = Target(stage.loop, act)
    for target in (first, cleared, renewed):
        stage.sweep.set(target, 0.01)
    stage.loop.run_for(0.5)
    assert first.expired_at_s
    assert not cleared.expired_at_s
    assert not renewed.expired_at_s
    stage.loop.run_for(1)
    assert len(renewed.expired_at_s) == 1


def test_an_expiry_may_set_its_own_deadline_again(stage: Stage) -> None:
    target = Target(stage.loop, lambda: stage.sweep.set(target, 0.2))
    stage.sweep.set(target, 0.2)
    stage.loop.run_for(1)
    assert len(target.expired_at_s) in (3, 4)
