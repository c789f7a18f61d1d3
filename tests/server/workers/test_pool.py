"""WorkerPool: who gets which worker, and how the dead are replaced, without any process."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from openenv.environment import Environment
from openenv.errors import ConfigurationError, SessionCreationError
from openenv.protocol.frames import Reset
from openenv.server.config import ServerConfig
from openenv.server.runners.spec import EnvironmentSpec
from openenv.server.sessions.task_group import HostedTaskGroup
from openenv.server.workers import pool as module
from openenv.server.workers.blueprint import blueprint_of
from openenv.server.workers.pool import FIRST_PAUSE_S, LONGEST_PAUSE_S, STABLE_S, WorkerPool
from tests.patience import within
from tests.server.fakes import FakeDeadlines, FakeOrigin
from tests.worker_environments import Alone, Deadly


class FakeWorker:
    """A worker that is ready when it runs, and dies when the test says so."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._died = asyncio.Event()
        self.is_ready = False
        self.is_usable = True
        self.is_blocked = False
        self.load = 0
        self.lived_s = 0.0
        self.exit_reason = "a worker process was killed"
        self.log: list[str] = []

    async def run(self) -> None:
        self.is_ready = True
        self._pool.wake()
        await self._died.wait()
        self.is_ready = self.is_usable = False

    def die(self, lived_s: float) -> None:
        self.lived_s = lived_s
        self._died.set()

    def stop(self) -> None:
        self.log.append("stop")
        self._died.set()

    def on_exit(self) -> None:
        self.log.append("exit")

    def host(self, runner: Any) -> None:
        self.load += 1


class FakeRunner:
    is_abandoned = False

    def __init__(self) -> None:
        self.started: list[Any] = []

    def start(self, frame: Any, origin: Any) -> None:
        self.started.append(frame)


class Stage:
    """A pool of fakes; `made` has all workers, in the order of their making."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, cls: type[Environment] = Deadly, count: int = 2
    ) -> None:
        self.made: list[FakeWorker] = []
        self.failures = 0
        monkeypatch.setattr(module, "WorkerProcess", self._make)
        self.group = HostedTaskGroup()
        self.group.start()
        self.pool = WorkerPool(
            EnvironmentSpec(cls, cls, execution="process"),
            ServerConfig(workers=count),
            blueprint_of(cls, [], debug=False),
            self.group.spawn,
            FakeDeadlines(),
        )

    def _make(self, pool: Any) -> FakeWorker:
        if self.failures:
            self.failures -= 1
            raise OSError("no more processes")
        self.made.append(FakeWorker(pool))
        return self.made[-1]

    def assign(self) -> Any:
        runner: Any = FakeRunner()
        return self.pool.assign(runner, Reset(1, 1), FakeOrigin())

    async def close(self) -> None:
        async with within(10):
            await self.pool.aclose()
            await self.group.stop()


async def until(is_so: Callable[[], bool]) -> None:
    """Give the tasks of the pool their turns."""
    async with within(10):
        while not is_so():
            await asyncio.sleep(0)


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> Any:
    return Stage(monkeypatch)


# ---- life


async def test_the_workers_are_ready_when_the_pool_has_started(stage: Stage) -> None:
    await stage.pool.start()
    assert [worker.is_ready for worker in stage.made] == [True, True]
    assert (stage.pool.running, stage.pool.health) == (2, "healthy")
    await stage.close()
    assert [worker.log for worker in stage.made] == [["stop", "exit"]] * 2
    assert stage.pool.restarts == 0


async def test_who_starts_it_again_meanwhile_only_waits(stage: Stage) -> None:
    await asyncio.gather(stage.pool.start(), stage.pool.start())
    assert len(stage.made) == 2
    await stage.close()


async def test_it_starts_anew_after_it_was_closed(stage: Stage) -> None:
    await stage.pool.start()
    await stage.pool.aclose()
    await stage.pool.start()
    assert len(stage.made) == 4
    assert stage.pool.running == 2
    await stage.close()


async def test_a_pool_in_which_no_worker_starts_says_so(stage: Stage) -> None:
    stage.failures = 2
    with pytest.raises(ConfigurationError, match="no more processes"):
        await stage.pool.start()
    assert stage.pool.running == 0
    await stage.group.stop()


async def test_a_pool_in_which_one_worker_starts_is_degraded(stage: Stage) -> None:
    stage.failures = 1
    await stage.pool.start()
    assert (stage.pool.running, stage.pool.health) == (1, "degraded")
    await stage.close()


# ---- sessions


async def test_a_session_goes_to_the_worker_with_the_fewest(stage: Stage) -> None:
    await stage.pool.start()
    for _ in range(4):
        stage.assign()
    assert [worker.load for worker in stage.made] == [2, 2]
    stage.made[0].load = 0
    assert stage.assign() is stage.made[0]
    await stage.close()


async def test_a_worker_that_hangs_gets_sessions_last(stage: Stage) -> None:
    await stage.pool.start()
    stage.made[0].is_blocked = True
    stage.made[1].load = 5
    assert stage.assign() is stage.made[1]
    assert (stage.pool.blocked, stage.pool.health) == (1, "degraded")
    stage.made[1].is_blocked = True
    assert stage.pool.health == "unhealthy"
    assert stage.assign() is stage.made[0]
    await stage.close()


async def test_a_class_that_must_be_alone_gets_an_empty_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch, Alone)
    await stage.pool.start()
    assert {id(stage.assign()), id(stage.assign())} == {id(worker) for worker in stage.made}
    with pytest.raises(SessionCreationError):
        stage.assign()
    await stage.close()


async def test_a_request_waits_for_a_worker_that_is_about_to_be_replaced(stage: Stage) -> None:
    await stage.pool.start()
    for worker in stage.made:
        worker.is_usable = False
    runners: list[Any] = [FakeRunner(), FakeRunner()]
    for runner in runners:
        assert stage.pool.assign(runner, Reset(1, 1), FakeOrigin()) is None
    runners[1].is_abandoned = True
    stage.made[0].die(STABLE_S + 1)
    await until(lambda: len(stage.made) == 3)
    assert [runner.started for runner in runners] == [[Reset(1, 1)], []]
    await stage.close()


# ---- replacing


async def test_a_worker_that_was_stable_is_replaced_at_once(stage: Stage) -> None:
    await stage.pool.start()
    for number in range(3):
        stage.made[-1].die(STABLE_S + 1)
        await until(lambda number=number: len(stage.made) == 3 + number)  # type: ignore[misc]
    assert stage.pool.restarts == 3
    assert stage.made[1].log == ["exit"]
    assert stage.pool._pauses_s == [0.0, 0.0]
    await stage.close()


async def test_only_the_first_of_a_series_of_deaths_is_replaced_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch, count=1)
    await stage.pool.start()
    stage.made[0].die(STABLE_S / 2)
    await until(lambda: len(stage.made) == 2 and stage.pool.running == 1)
    assert stage.pool._pauses_s == [FIRST_PAUSE_S]
    stage.made[1].die(STABLE_S / 2)
    await until(lambda: stage.pool._pauses_s == [2 * FIRST_PAUSE_S])
    assert (len(stage.made), stage.pool.health) == (2, "unhealthy")
    with pytest.raises(SessionCreationError):
        stage.assign()
    await stage.close()


async def test_a_pause_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 3600.0)
    stage = Stage(monkeypatch, count=1)
    await stage.pool.start()
    stage.pool._pauses_s = [1800.0]
    stage.made[0].die(STABLE_S / 2)
    await until(lambda: stage.pool._pauses_s == [3600.0])
    await stage.close()


async def test_the_pause_grows_to_a_bound_and_ends_with_a_stable_worker(stage: Stage) -> None:
    pool, dead, stable = stage.pool, FakeWorker(stage.pool), FakeWorker(stage.pool)
    dead.lived_s, stable.lived_s = STABLE_S / 2, STABLE_S + 1
    pauses_s = []
    for _ in range(10):
        pool._replace(0, dead)  # type: ignore[arg-type]
        pauses_s.append(pool._pauses_s[0])
    assert pauses_s[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses_s[-1] == LONGEST_PAUSE_S
    pool._replace(0, stable)  # type: ignore[arg-type]
    assert pool._pauses_s[0] == 0.0
    await stage.group.stop()


async def test_one_that_was_never_ready_is_not_replaced_at_once(stage: Stage) -> None:
    never = FakeWorker(stage.pool)
    stage.pool._replace(0, never)  # type: ignore[arg-type]
    assert stage.made == []
    assert never.log == ["exit"]
    await stage.group.stop()


def test_without_a_setting_there_are_as_many_workers_as_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_usable_cores", lambda: 5)
    spec = EnvironmentSpec(Deadly, Deadly)
    blueprint = blueprint_of(Deadly, [], debug=False)
    spawn: Any = None
    pool = WorkerPool(spec, ServerConfig(), blueprint, spawn, FakeDeadlines())
    assert pool.count == 5
    # A server without workers has nothing that could be unwell.
    assert pool.health == "healthy"
