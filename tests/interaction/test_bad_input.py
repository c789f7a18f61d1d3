"""Whatever clients send and environments do: a typed error in time, and no other is disturbed."""

import asyncio
import math
import sys
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from openenv.client.env import EnvClient
from openenv.environment import Environment
from openenv.errors import (
    EnvironmentFactoryError,
    EnvironmentFault,
    NotReset,
    OpenEnvError,
    PayloadError,
    SessionCapacityError,
    SessionExpired,
    StepTimeout,
)
from openenv.models import State
from openenv.server.config import ServerConfig
from tests.environments import Add, Counter, Sleeper, ThreadCounter, Total
from tests.interaction.worlds import EVERY, STRICT, world
from tests.patience import patient, within


class CounterEnv(EnvClient[Add, Total, State]):
    pass


class Misbehaving(Environment[dict[str, Any], Any, State]):
    """Does what its action says."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    closes_badly = False

    def reset(self, fail: bool = False, closes_badly: bool = False) -> dict[str, Any]:
        self.closes_badly = closes_badly
        if fail:
            raise KeyError("no such level")
        return {"ready": True}

    def step(self, action: dict[str, Any]) -> Any:
        match action["do"]:
            case "raise":
                raise ValueError("out of cheese")
            case "exit":
                sys.exit(3)
            case "none":
                return None
            case "unencodable":
                return {"thing": object()}
            case "bad reward":
                return {"ok": True, "reward": "plenty"}
            case "nan":
                return {"value": math.nan, "reward": math.inf}
        return {"ok": True, "reward": 1}

    def close(self) -> None:
        if self.closes_badly:
            raise OSError("cannot close")


class MisbehavingOnThread(Misbehaving):
    execution = "thread"


class MisbehavingInProcess(Misbehaving):
    execution = "process"


class MisbehavingAsync(Misbehaving):
    async def step(self, action: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return super().step(action)


PLACEMENTS = [Misbehaving, MisbehavingOnThread, MisbehavingInProcess, MisbehavingAsync]


@pytest.mark.parametrize("transport", EVERY)
@pytest.mark.parametrize("environment", PLACEMENTS)
async def test_a_step_that_goes_wrong_is_a_typed_error_and_the_session_lives_on(
    transport: str, environment: type
) -> None:
    async with world(transport, environment) as one, within(10):
        env = await one.client()
        await env.reset()
        for what in ("raise", "exit", "none", "unencodable", "bad reward"):
            with pytest.raises((EnvironmentFault, PayloadError)):
                await env.step({"do": what})
            assert (await env.step({"do": "well"})).reward == 1


@pytest.mark.parametrize("environment", PLACEMENTS)
async def test_a_fault_names_what_was_raised_but_shows_no_traceback(environment: type) -> None:
    async with world("websocket", environment) as one:
        env = await one.client()
        await env.reset()
        with pytest.raises(EnvironmentFault) as caught:
            await env.step({"do": "raise"})
        assert caught.value.remote_type == "ValueError"
        assert "out of cheese" in str(caught.value)
        assert caught.value.traceback is None


@pytest.mark.parametrize("transport", STRICT)
async def test_non_finite_numbers_arrive_as_they_are(transport: str) -> None:
    async with world(transport, Misbehaving) as one:
        env = await one.client()
        await env.reset()
        result = await env.step({"do": "nan"})
        assert result.reward in (math.inf, "Infinity")


@pytest.mark.parametrize("environment", PLACEMENTS)
async def test_a_reset_that_raises_leaves_the_session_needing_reset(environment: type) -> None:
    async with world("websocket", environment) as one:
        env = await one.client()
        with pytest.raises(EnvironmentFault):
            await env.reset(fail=True)
        with pytest.raises(NotReset):
            await env.step({"do": "well"})
        await env.reset()
        assert (await env.step({"do": "well"})).reward == 1


@pytest.mark.parametrize("environment", PLACEMENTS)
async def test_a_close_that_raises_still_frees_the_slot(environment: type) -> None:
    async with world("websocket", environment) as one:
        env = await one.client()
        await env.reset(closes_badly=True)
        assert one.registry.active == 1
        with pytest.raises(OpenEnvError):
            await env.close()
        assert one.registry.active == 0
        assert not one.registry.sessions


@pytest.mark.parametrize("transport", STRICT)
@pytest.mark.parametrize("environment", [Counter, ThreadCounter])
async def test_an_action_that_is_none_is_refused_with_the_path_to_its_field(
    transport: str, environment: type
) -> None:
    async with world(transport, environment) as one:
        env = await one.client()
        await env.reset()
        with pytest.raises(PayloadError) as caught:
            await env.step({"amount": "three"})
        assert caught.value.path == ".amount"
        with pytest.raises(PayloadError):
            await env.step([1, 2])
        assert (await env.step({"amount": 2})).observation["total"] == 2


@pytest.mark.parametrize("transport", STRICT)
async def test_step_and_state_before_reset_are_refused(transport: str) -> None:
    async with world(transport, Counter) as one:
        env = await one.client(CounterEnv)
        with pytest.raises(NotReset):
            await env.step(Add(1))
        await env._session.open()
        with pytest.raises(NotReset):
            await env.state()


@pytest.mark.parametrize("transport", STRICT)
async def test_an_unknown_reset_option_is_named(transport: str) -> None:
    async with world(transport, Counter) as one:
        env = await one.client()
        with pytest.raises(PayloadError, match="difficulty"):
            await env.reset(difficulty=3)


@pytest.mark.parametrize("transport", EVERY)
async def test_one_session_too_many_is_refused_and_the_others_go_on(transport: str) -> None:
    async with world(transport, Counter, max_concurrent_envs=2) as one, within(10):
        first, second = await one.client(CounterEnv), await one.client(CounterEnv)
        await first.reset()
        await second.reset()
        third = await one.client(CounterEnv)
        with pytest.raises(SessionCapacityError) as caught:
            await third.reset()
        assert caught.value.max_sessions == 2
        assert (await first.step(Add(3))).observation.total == 3
        await first.close()
        fourth = await one.client(CounterEnv)
        await fourth.reset()


async def test_a_session_that_waits_gets_the_next_free_slot_in_order() -> None:
    async with world("memory", Counter, max_concurrent_envs=1) as one, within(10):
        holder = await one.client(CounterEnv)
        await holder.reset()
        order: list[int] = []

        async def wait(number: int) -> None:
            env = await one.client(CounterEnv, wait_s=5.0)
            await env.reset()
            order.append(number)
            await env.close()

        tasks = [asyncio.create_task(wait(number)) for number in range(3)]
        while len(one.registry.sessions) < 4:
            await asyncio.sleep(0)
        await holder.close()
        await asyncio.gather(*tasks)
        assert order == [0, 1, 2]
        assert one.registry.active == 0


async def test_waiting_for_a_slot_ends_with_an_error_when_its_time_is_over() -> None:
    async with world("memory", Counter, max_concurrent_envs=1) as one, within(10):
        holder = await one.client(CounterEnv)
        await holder.reset()
        late = await one.client(CounterEnv, wait_s=0.1)
        with pytest.raises(SessionCapacityError):
            await late.reset()
        assert len(one.registry.sessions) == 1


class Unmakeable(Counter):
    def __init__(self) -> None:
        raise RuntimeError("no licence")


class UnmakeableOnThread(Unmakeable):
    execution = "thread"


@pytest.mark.parametrize("transport", EVERY)
@pytest.mark.parametrize("environment", [Unmakeable, UnmakeableOnThread])
async def test_a_constructor_that_raises_is_told_and_frees_its_slot(
    transport: str, environment: type
) -> None:
    async with world(transport, environment, max_concurrent_envs=1) as one, within(10):
        for _ in range(3):
            env = await one.client()
            with pytest.raises(EnvironmentFactoryError):
                await env.reset()
        while one.registry.sessions:
            await asyncio.sleep(0)
        assert one.registry.active == 0


async def test_a_hung_step_times_out_and_the_next_reset_gets_a_new_environment() -> None:
    Sleeper.release = threading.Event()
    async with world("websocket", Sleeper) as one, within(10):
        try:
            env, other = await one.client(), await one.client()
            await env.reset()
            await other.reset()
            with pytest.raises(StepTimeout):
                await env.step({"hang": True}, timeout_s=0.2)
            assert one.registry.hung_threads == 1
            assert one.registry.health == "degraded"
            with pytest.raises(NotReset):
                await env.step({})
            await env.reset()
            assert (await env.step({})).observation == {"slept": True}
            assert (await other.step({})).observation == {"slept": True}
        finally:
            Sleeper.release.set()
        while one.registry.hung_threads:
            await asyncio.sleep(0.01)
        assert one.registry.health == "healthy"


async def test_the_servers_own_limit_holds_for_clients_that_set_none() -> None:
    Sleeper.release = threading.Event()
    config = ServerConfig(step_timeout_s=0.2)
    async with world("websocket", Sleeper, config=config) as one, within(10):
        env = await one.client()
        await env.reset()
        try:
            with pytest.raises(StepTimeout):
                await env.step({"hang": True})
        finally:
            Sleeper.release.set()


class Pondering(Counter):
    async def step(self, action: Add) -> Total:
        await asyncio.sleep(10)
        return super().step(action)


async def test_an_async_step_that_is_too_slow_is_cancelled() -> None:
    async with world("websocket", Pondering) as one, within(10):
        env = await one.client(CounterEnv)
        await env.reset()
        with pytest.raises(StepTimeout):
            await env.step(Add(1), timeout_s=0.1)
        assert one.registry.hung_threads == 0
        await env.reset()


@pytest.mark.parametrize("environment", [Pondering, Sleeper])
async def test_a_cancelled_call_leaves_the_connection_usable(environment: Any) -> None:
    Sleeper.release = threading.Event()
    async with world("websocket", environment) as one, within(10):
        env = await one.client()
        other = await one.client(connection=env._session.link)
        await env.reset()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await env.step({"hang": True} if environment is Sleeper else {"amount": 1})
        Sleeper.release.set()
        with pytest.raises(NotReset):
            await env.step({})
        await other.reset()
        await env.reset()


async def test_a_queued_request_that_is_cancelled_never_runs() -> None:
    Counter.steps = 0
    async with world("memory", SlowThreadCounter) as one, within(10):
        env = await one.client(CounterEnv)
        await env.reset()
        first = asyncio.create_task(env.step(Add(1)))
        second = asyncio.create_task(env.step(Add(1)))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.wait([second])
        await asyncio.sleep(0.05)
        SlowThreadCounter.release.set()
        assert (await first).observation.total == 1
        await env.reset()
        assert Counter.steps == 1


class SlowThreadCounter(ThreadCounter):
    release = threading.Event()

    def step(self, action: Add) -> Total:
        SlowThreadCounter.release.wait(patient(10))
        return super().step(action)


@dataclass
class Strict:
    ready: bool


class WrongClass(Environment[dict[str, Any], Strict, State]):
    execution = "inline"

    def reset(self) -> Any:
        return Strict(ready=True)

    def step(self, action: dict[str, Any]) -> Any:
        return Total(3)


async def test_an_observation_of_the_wrong_class_is_a_fault() -> None:
    async with world("memory", WrongClass) as one:
        env = await one.client()
        await env.reset()
        with pytest.raises(EnvironmentFault, match="Strict"):
            await env.step({})


async def test_two_clients_with_one_session_the_newer_one_wins() -> None:
    async with world("websocket", Counter) as one, within(10):
        first, second = await one.client(CounterEnv), await one.client(CounterEnv)
        await first.reset(seed=5)
        await second._session.open(token=first.session_token)
        with pytest.raises(SessionExpired):
            while True:
                await first.step(Add(0))
        assert (await second.step(Add(1))).observation.total == 6
        assert one.registry.active == 1


async def test_an_idle_session_expires_and_its_client_is_told() -> None:
    config = ServerConfig(idle_timeout_s=0.2)
    async with world("websocket", Counter, config=config) as one, within(10):
        env = await one.client(CounterEnv)
        await env.reset()
        while one.registry.sessions:
            await asyncio.sleep(0.01)
        assert one.registry.active == 0
        with pytest.raises(SessionExpired):
            await env.step(Add(1))
        await env.reset()
