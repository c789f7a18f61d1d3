"""Slots, and the ends of calls and sessions that do not go smoothly: each freed once, none lost."""

import asyncio
import threading
from typing import Any, ClassVar

import anyio
import pytest

from openenv.client.pool import Pool
from openenv.environment import Environment
from openenv.errors import EnvironmentFault, OpenEnvError, StepTimeout
from openenv.models import State
from openenv.server.config import ServerConfig
from tests.environments import Counter, Sleeper
from tests.interaction.worlds import world
from tests.patience import patient, within


async def test_several_sessions_that_wait_never_exceed_the_capacity() -> None:
    before = Counter.living
    most = 0
    async with world("websocket", Counter, max_concurrent_envs=1) as one, within(10):

        async def episode() -> None:
            nonlocal most
            env = await one.client(wait_s=8.0)
            await env.reset()
            most = max(most, Counter.living - before, one.registry.active)
            await env.close()

        await asyncio.gather(*(episode() for _ in range(6)))
        assert most == 1
        assert one.registry.active == 0


class Unwinding(Environment[dict[str, Any], dict[str, Any], State]):
    """Takes its time to end when it is cancelled, and notes calls that overlap."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    calls: ClassVar[list[str]] = []

    async def reset(self) -> dict[str, Any]:
        Unwinding.calls.append("reset in")
        await asyncio.sleep(0.02)
        Unwinding.calls.append("reset out")
        return {}

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:
        Unwinding.calls.append("step in")
        try:
            await asyncio.sleep(10)
        finally:
            with anyio.CancelScope(shield=True):
                await asyncio.sleep(0.1)
            Unwinding.calls.append("step out")
        return {}


async def test_an_async_call_that_unwinds_slowly_is_over_before_the_next_begins() -> None:
    async with world("websocket", Unwinding) as one, within(10):
        env, other = await one.client(), await one.client()
        await env.reset()
        await other.reset()
        Unwinding.calls.clear()
        with pytest.raises(StepTimeout):
            await env.step({}, timeout_s=0.1)
        await env.reset()
        assert Unwinding.calls == ["step in", "step out", "reset in", "reset out"]
        await other.reset()
        assert one.registry.health == "healthy"


class Panic(BaseException):
    """What an extension module raises when it panics: no Exception."""


class Panicking(Counter):
    def step(self, action: Any) -> Any:
        raise Panic("the core is lost")


class PanickingOnThread(Panicking):
    execution = "thread"


@pytest.mark.parametrize("environment", [Panicking, PanickingOnThread])
async def test_a_bare_base_exception_is_a_fault_too(environment: type) -> None:
    async with world("websocket", environment) as one, within(10):
        env = await one.client()
        await env.reset()
        with pytest.raises(EnvironmentFault) as caught:
            await env.step({})
        assert caught.value.remote_type == "Panic"
        assert one.registry.hung_threads == 0
        await env.reset()


class HangsInClose(Counter):
    execution = "thread"
    release: ClassVar[threading.Event] = threading.Event()

    def close(self) -> None:
        HangsInClose.release.wait(patient(20))
        super().close()


async def test_a_close_that_hangs_gives_its_slot_back_and_closes_once() -> None:
    HangsInClose.release.clear()
    before = Counter.living
    config = ServerConfig(close_timeout_s=0.2, max_concurrent_envs=1)
    async with world("websocket", HangsInClose, config=config) as one, within(10):
        try:
            env = await one.client()
            await env.reset()
            await env.close()
            assert one.registry.active == 0
            again = await one.client()
            await again.reset()
        finally:
            HangsInClose.release.set()
        while one.registry.hung_threads:
            await asyncio.sleep(0.001)
    assert Counter.living == before


async def test_a_close_that_was_given_up_while_it_waited_still_closes() -> None:
    Sleeper.release = threading.Event()
    async with world("websocket", Sleeper) as one, within(10):
        env = await one.client()
        await env.reset()
        step = asyncio.create_task(env.step({"hang": True}))
        while not any(session.is_busy for session in one.registry.sessions.values()):
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await env.close()
        Sleeper.release.set()
        while one.registry.sessions:
            await asyncio.sleep(0.01)
        assert one.registry.active == 0
        await asyncio.wait([step])


class Alone(Sleeper):
    """All instances of a process must share one thread."""

    REQUIRES_SINGLE_THREAD_EXECUTOR = True


async def test_a_shared_thread_that_comes_back_serves_the_others_again() -> None:
    Sleeper.release = threading.Event()
    async with world("websocket", Alone) as one, within(10):
        env, other = await one.client(), await one.client()
        await env.reset()
        await other.reset()
        with pytest.raises(StepTimeout):
            await env.step({"hang": True}, timeout_s=0.1)
        Sleeper.release.set()
        while one.registry.hung_threads:
            await asyncio.sleep(0.01)
        assert (await other.step({})).observation == {"slept": True}
        await env.reset()


async def test_a_session_after_a_quiet_time_is_not_idle() -> None:
    config = ServerConfig(idle_timeout_s=0.6)
    async with world("websocket", Counter, config=config) as one, within(10):
        await asyncio.sleep(0.8)
        env = await one.client()
        await env.reset()
        await asyncio.sleep(0.2)
        await env.step({"amount": 1})


async def test_sessions_that_open_at_once_are_spread_over_the_connections() -> None:
    async with world("websocket", Counter) as one, Pool(one.url) as pool, within(10):
        await asyncio.gather(*(pool.session() for _ in range(100)))
        assert sorted(len(link._sessions.by_number) for link in one.registry.links.values()) == [
            50,
            50,
        ]


async def test_asking_for_the_state_in_vain_costs_no_episode() -> None:
    Sleeper.release = threading.Event()
    async with world("websocket", Sleeper) as one, within(10):
        env = await one.client()
        await env.reset()
        step = asyncio.create_task(env.step({"hang": True}))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await env.state()
        Sleeper.release.set()
        await step
        assert (await env.step({})).observation == {"slept": True}


async def test_an_endpoint_that_takes_less_than_it_says_loses_the_connection_not_the_loop() -> None:
    async with (
        world("websocket", Counter, ws_max_size=20_000) as one,
        within(10),
    ):
        env = await one.client()
        await env.reset()
        with pytest.raises(OpenEnvError, match="ws-max-size"):
            await env.step({"amount": 1, "note": "y" * 50_000})
        await env.reset()
