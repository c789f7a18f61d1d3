"""Environments in worker processes: to clients they are like all others, until one dies."""

import asyncio
import functools
import math
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy
import pytest

from openenv.app import create_app
from openenv.environment import Environment
from openenv.errors import (
    ConcurrencyConfigurationError,
    ConfigurationError,
    EnvironmentFault,
    NotReset,
    OpenEnvError,
    PayloadError,
    SessionCapacityError,
    SessionCreationError,
    StepTimeout,
    WorkerDied,
)
from openenv.rollout.collect import collect
from openenv.rollout.source import in_process
from openenv.server.config import ServerConfig
from openenv.server.host import make_registry
from tests.environments import AsyncCounter, Counter
from tests.interaction.test_bad_input import Misbehaving
from tests.interaction.worlds import EVERY, World, world
from tests.patience import within
from tests.worker_environments import (
    Alone,
    Deadly,
    Described,
    Images,
    Unmakeable,
    make_deadly,
    make_maker,
)


@asynccontextmanager
async def workers(
    environment: Any, count: int = 1, transport: str = "websocket", **settings: Any
) -> AsyncIterator[World]:
    config = ServerConfig(workers=count, **settings)
    async with world(transport, environment, config=config) as one, within(20):
        yield one


async def begin(one: World, sessions: int) -> tuple[list[Any], list[int]]:
    """Sessions that have been reset, and the process that each of them is in."""
    envs = [await one.client() for _ in range(sessions)]
    return envs, [(await env.reset()).observation["pid"] for env in envs]


# ---- the same as elsewhere


async def outcomes(one: World) -> list[Any]:
    """What a client sees of an environment that does everything wrong."""
    env, seen = await one.client(), []

    async def note(call: Any) -> None:
        try:
            result = await call
            seen.append((result.observation, str(result.reward), result.done))
        except OpenEnvError as error:
            details = {name: value for name, value in error.details.items() if value}
            seen.append((type(error), str(error), details))

    await note(env.reset(fail=True))
    await note(env.reset(difficulty=3) if one.transport != "legacy" else env.reset())
    await note(env.reset())
    for what in ("well", "raise", "exit", "none", "bad reward", "unencodable", "nan", "well"):
        await note(env.step({"do": what}))
    await note(env.step([1, 2]))
    await note(env.reset(closes_badly=True))
    with suppress(OpenEnvError):
        await env.close()
    while one.registry.active:
        await asyncio.sleep(0.001)
    return seen


@pytest.mark.parametrize("transport", EVERY)
async def test_what_goes_wrong_looks_the_same_as_inline(transport: str) -> None:
    async with world(transport, Misbehaving) as one, within(20):
        expected = await outcomes(one)
    async with workers(Misbehaving, transport=transport) as one:
        assert repr(await outcomes(one)) == repr(expected)


@pytest.mark.parametrize("debug", [False, True])
async def test_a_traceback_is_sent_if_the_server_debugs(debug: bool) -> None:
    async with workers(Misbehaving, debug=debug) as one:
        env = await one.client()
        await env.reset()
        with pytest.raises(EnvironmentFault) as caught:
            await env.step({"do": "raise"})
        assert (caught.value.traceback is not None) is debug


@pytest.mark.parametrize("transport", EVERY)
async def test_the_state_counts_and_names_the_episode(transport: str) -> None:
    async with workers(Deadly, transport=transport) as one:
        env = await one.client()
        await env.reset()
        for count in range(3):
            assert (await env.step({})).observation["state"] == count
        state = await env.state()
        [session] = one.registry.sessions.values()
        assert state == {"episode_id": session.episode.episode_id, "step_count": 3}
        assert session.episode.step_count == 3
        await env.reset(episode_id="mine")
        assert await env.state() == {"episode_id": "mine", "step_count": 0}


@pytest.mark.parametrize("transport", EVERY)
@pytest.mark.parametrize("side", [4, 1000])
async def test_arrays_pass_both_ways(transport: str, side: int) -> None:
    async with workers(Images, transport=transport) as one:
        env = await one.client()
        image = (await env.reset(side=side)).observation["image"]
        assert numpy.asarray(image).shape == (side, side)
        noise = numpy.random.default_rng(1).integers(0, 256, (side, side), numpy.uint8)
        action = {"image": noise.tolist() if side == 4 else noise}
        inverted = (await env.step(action)).observation["image"]
        assert (numpy.asarray(inverted) == 255 - noise).all()


async def test_what_an_environment_says_of_itself_is_known_to_the_server() -> None:
    async with workers(Described) as one:
        env = await one.client()
        await env.reset()
        info = one.registry.spec.info
        assert info is not None
        assert (info.version, info.description) == ("7", "not in -c")


async def test_a_reset_that_cannot_be_written_down_is_refused_alone() -> None:
    async with workers(Deadly, transport="json") as one:
        env = await one.client()
        with pytest.raises(PayloadError, match="reset"):
            await env.reset(seed=2**70)
        assert (await env.reset(seed=2**60)).observation["seed"] == 2**60


async def test_episodes_are_collected_from_a_class_whose_instances_are_elsewhere() -> None:
    run = await collect(Deadly, lambda _: {}, episodes=8, max_turns=3, concurrency=4)
    assert (run.episodes, run.steps, run.failures) == (8, 24, 0)


# ---- who is where


async def test_sessions_go_to_the_worker_with_the_fewest() -> None:
    async with workers(Deadly, 2) as one:
        envs, pids = await begin(one, 4)
        assert sorted(pids.count(pid) for pid in set(pids)) == [2, 2]
        assert os.getpid() not in pids
        for env, pid in zip(envs, pids, strict=True):
            if pid == pids[0]:
                await env.close()
        _, again = await begin(one, 2)
        assert again == [pids[0]] * 2


async def test_the_limit_of_sessions_holds_over_all_workers() -> None:
    async with workers(Deadly, 2, max_concurrent_envs=3) as one:
        await begin(one, 3)
        late = await one.client()
        with pytest.raises(SessionCapacityError):
            await late.reset()


async def test_an_environment_that_must_be_alone_is_alone_in_its_process() -> None:
    async with workers(Alone, 2, close_timeout_s=0.5, worker_grace_s=30) as one:
        envs, pids = await begin(one, 2)
        assert len(set(pids)) == one.registry.max_sessions == 2
        with pytest.raises(StepTimeout):
            await envs[0].step({"do": "sleep", "s": 60}, timeout_s=0.1)
        assert (await envs[0].reset()).observation["pid"] not in pids
        assert (await envs[1].step({})).observation["pid"] == pids[1]
    with pytest.raises(ConcurrencyConfigurationError):
        create_app(Alone, config=ServerConfig(workers=2, max_concurrent_envs=3))


# ---- deaths


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        ("exit", "exited with status 3"),
        ("kill", "was killed by SIGKILL"),
        ("crash", "was killed by SIGSEGV"),
    ],
)
async def test_a_death_ends_the_episodes_of_its_worker_alone(what: str, cause: str) -> None:
    async with workers(Deadly, 2) as one:
        envs, pids = await begin(one, 4)
        victims = [env for env, pid in zip(envs, pids, strict=True) if pid == pids[0]]
        others = [env for env, pid in zip(envs, pids, strict=True) if pid != pids[0]]
        with pytest.raises(WorkerDied, match=cause):
            await victims[0].step({"do": what})
        # The other one did nothing just then. It is told when it asks, and once.
        with pytest.raises(WorkerDied, match=cause):
            await victims[1].step({})
        for env in victims:
            with pytest.raises(NotReset):
                await env.step({})
            assert (await env.reset()).observation["pid"] not in pids
            await env.step({})
        for env in others:
            assert (await env.step({})).observation["pid"] == pids[1]
        assert one.registry.active == 4
        assert one.registry.workers is not None
        assert (one.registry.workers.restarts, one.registry.workers.count) == (1, 2)


async def test_who_resets_after_a_death_need_not_know_of_it() -> None:
    async with workers(Deadly) as one:
        [env], [pid] = await begin(one, 1)
        os.kill(pid, signal.SIGKILL)
        while one.registry.workers is not None and not one.registry.workers.restarts:
            await asyncio.sleep(0.001)
        assert (await env.reset()).observation["pid"] != pid
        await env.step({})
        await env.close()


async def test_what_has_not_begun_in_a_dead_worker_begins_in_the_next(tmp_path: Path) -> None:
    pipes = {"began": str(tmp_path / "began"), "gate": str(tmp_path / "gate")}
    for pipe in pipes.values():
        os.mkfifo(pipe)
    async with workers(Deadly) as one:
        [env, idle], [pid, _] = await begin(one, 2)
        waiting = asyncio.create_task(env.step({"do": "wait", **pipes}))
        await asyncio.to_thread(Path(pipes["began"]).read_text)
        late = await one.client()
        opening, again = asyncio.create_task(late.reset()), asyncio.create_task(idle.reset())
        closing = await one.client()
        while not all(session.is_busy for session in one.registry.sessions.values()):
            await asyncio.sleep(0.001)
        while len(one.registry.sessions) < 3:
            await asyncio.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerDied):
            await waiting
        assert (await opening).observation["pid"] == (await again).observation["pid"] != pid
        await closing.close()


async def test_a_close_whose_environment_is_dead_is_a_close() -> None:
    async with workers(Deadly) as one:
        [env, idle], _ = await begin(one, 2)
        with pytest.raises(WorkerDied):
            await env.step({"do": "exit"})
        await idle.close()
        await env.close()
        assert one.registry.active == 0


async def test_a_worker_that_dies_again_and_again_is_started_ever_more_rarely() -> None:
    async with workers(Unmakeable) as one:
        pool = one.registry.workers
        assert pool is not None
        errors: list[type] = []
        while SessionCreationError not in errors:
            env = await one.client()
            with pytest.raises((WorkerDied, SessionCreationError)) as caught:
                await env.reset()
            errors.append(caught.type)
        assert len(errors) <= 3
        restarts = pool.restarts
        assert one.registry.health == "unhealthy"
        while pool.running == 0:
            await asyncio.sleep(0.001)
        assert one.registry.health == "healthy"
        assert pool.restarts <= restarts + 1
    assert one.registry.active == 0


# ---- calls that take too long


async def test_a_call_that_hangs_takes_its_worker_along_after_the_grace() -> None:
    async with workers(Deadly, 2, worker_grace_s=0.3) as one:
        envs, pids = await begin(one, 4)
        neighbour = envs[pids.index(pids[0], 1)]
        with pytest.raises(StepTimeout):
            await envs[0].step({"do": "sleep", "s": 60}, timeout_s=0.1)
        assert one.registry.health == "degraded"
        # New sessions avoid it.
        assert (await envs[0].reset()).observation["pid"] in set(pids) - {pids[0]}
        with pytest.raises(WorkerDied, match="hung"):
            await neighbour.step({})
        assert (await neighbour.reset()).observation["pid"] not in pids
        assert one.registry.health == "healthy"


async def test_a_call_that_comes_back_within_the_grace_costs_nobody_else_anything(
    tmp_path: Path,
) -> None:
    log = str(tmp_path / "log")
    make = functools.partial(Deadly, log=log)
    async with workers(make, worker_grace_s=20) as one:
        envs, pids = await begin(one, 2)
        with pytest.raises(StepTimeout):
            await envs[0].step({"do": "sleep", "s": 0.5}, timeout_s=0.1)
        with pytest.raises(NotReset):
            await envs[0].step({})
        assert (await envs[1].step({})).observation["pid"] == pids[1]
        assert await asyncio.to_thread(Path(log).read_text) == "closed"
        assert (await envs[0].reset()).observation["pid"] == pids[0]
        assert one.registry.health == "healthy"


async def test_the_time_that_neighbours_take_is_not_counted() -> None:
    async with workers(Deadly) as one:
        envs, _ = await begin(one, 5)
        steps = [env.step({"do": "sleep", "s": 0.2}, timeout_s=0.5) for env in envs]
        results = await asyncio.gather(*steps)
        assert len({result.observation["pid"] for result in results}) == 1


async def test_a_server_that_ends_does_not_wait_for_a_worker_that_hangs() -> None:
    async with workers(Deadly, close_timeout_s=0.2, worker_grace_s=60) as one:
        [env], [pid] = await begin(one, 1)
        with pytest.raises(StepTimeout):
            await env.step({"do": "sleep", "s": 60}, timeout_s=0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_registry_is_started_again_on_another_event_loop() -> None:
    registry = make_registry(Deadly, config=ServerConfig(workers=1), execution="process")

    async def play() -> int:
        async with in_process(registry) as pool, within(20):
            env = await pool.session()
            return int((await env.reset()).observation["pid"])

    assert asyncio.run(play()) != asyncio.run(play())


# ---- names


class Here(Counter):
    execution = "process"


def test_what_cannot_be_imported_by_its_name_is_refused_with_advice() -> None:
    class Inside(Here):
        pass

    program: Any = type("Program", (Here,), {"__module__": "__main__"})
    renamed: Any = type("Here", (Counter,), {"__module__": __name__})
    for env, advice in (
        (Inside, "at the top of its module"),
        (program, "move it into a module"),
        (renamed, "something else"),
        (make_maker(), "at the top of its module"),
        (functools.partial(Deadly, log=object()), "plain data"),  # type: ignore[arg-type]
        (Deadly(), "shared"),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(advice)):
            make_registry(env, execution="process")


def test_workers_where_nothing_runs_in_them_are_a_contradiction() -> None:
    with pytest.raises(ConfigurationError, match="workers is 2, but the execution of Counter is"):
        make_registry(Counter, config=ServerConfig(workers=2), execution="inline")
    with pytest.raises(ConfigurationError, match="'inline', 'thread' or 'process'"):
        make_registry(type("Lost", (Counter,), {"execution": "somewhere"}))
    with pytest.raises(ConfigurationError, match="async methods"):
        make_registry(AsyncCounter, execution="process")


async def test_a_factory_makes_the_environments_where_they_run() -> None:
    async with workers(make_deadly, 2) as one:
        _, pids = await begin(one, 2)
        assert os.getpid() not in pids


async def test_a_module_that_only_the_server_can_import_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shy.py").write_text(
        "import os\n"
        "from openenv.environment import Environment\n"
        f"if os.getpid() != {os.getpid()}: raise ImportError('not here')\n"
        "class Shy(Environment):\n"
        "    def reset(self): return {}\n"
        "    def step(self, action): return {}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    shy: Any = __import__("shy").Shy
    registry = make_registry(shy, config=ServerConfig(workers=2))
    with pytest.raises(ConfigurationError, match="not here"):
        await registry.start()


class Odd(Environment[dict[str, Any], dict[str, Any]]):
    """Says what nobody can read."""

    execution = "process"

    def reset(self) -> dict[str, Any]:
        return {}

    def step(self, action: dict[str, Any]) -> Any:
        if action["do"] == "metadata":
            return {"metadata": {1: "one"}}
        return iter_bad() if action["do"] == "partial" else {"number": math.pi}


def iter_bad() -> Any:
    yield {"thing": object()}
    yield {}


@pytest.mark.parametrize("what", ["metadata", "partial"])
async def test_what_cannot_be_written_down_is_a_fault_of_its_call_alone(what: str) -> None:
    async with workers(Odd, 1) as one:
        env = await one.client()
        await env.reset()
        with pytest.raises((EnvironmentFault, PayloadError)):
            async for _ in env.stream({"do": what}):
                pass
        assert (await env.step({"do": "well"})).observation == {"number": math.pi}
