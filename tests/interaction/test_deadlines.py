"""Calls that nobody waits for any more: what becomes of them, and of what comes after."""

import asyncio
import threading
from typing import Any

import pytest

from openenv.environment import Environment
from openenv.errors import NotReset, RequestTimeout, StepTimeout
from openenv.models import State
from openenv.server.config import ServerConfig
from tests.environments import Counter, Sleeper
from tests.interaction.worlds import NATIVE, world
from tests.patience import within


@pytest.mark.parametrize("transport", NATIVE)
async def test_no_reply_in_time_is_a_request_timeout_and_its_late_reply_is_dropped(
    transport: str,
) -> None:
    Sleeper.release = threading.Event()
    async with world(transport, Sleeper) as one, within(10):
        env = await one.client(message_timeout_s=0.3)
        await env.reset()
        with pytest.raises(RequestTimeout):
            await env.step({"hang": True})
        with pytest.raises(NotReset):
            await env.step({})
        Sleeper.release.set()
        assert (await env.reset()).observation == {"ready": True}
        assert (await env.step({})).observation == {"slept": True}


async def test_a_reset_behind_a_call_that_was_given_up_and_hangs_gets_a_new_environment() -> None:
    Sleeper.release = threading.Event()
    config = ServerConfig(close_timeout_s=0.3)
    async with world("websocket", Sleeper, config=config) as one, within(10):
        env = await one.client()
        await env.reset()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await env.step({"hang": True})
        assert (await env.reset()).observation == {"ready": True}
        assert one.registry.hung_threads == 1
        Sleeper.release.set()
        while one.registry.hung_threads:
            await asyncio.sleep(0.01)


class Tidy(Environment[dict[str, Any], dict[str, Any], State]):
    """Cleans up when its step is cancelled, which takes a moment; the next step tells."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    cancellations = 0
    is_clean = True

    async def reset(self) -> dict[str, Any]:
        return {"cancellations": self.cancellations, "is_clean": self.is_clean}

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:
        self.is_clean = False
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancellations += 1
            for _ in range(3):
                await asyncio.sleep(0)
            self.is_clean = True
            raise
        return {}


async def test_an_async_step_that_is_given_up_is_cancelled_once_and_can_clean_up() -> None:
    async with world("memory", Tidy) as one, within(10):
        env = await one.client()
        await env.reset()
        with pytest.raises(StepTimeout):
            await env.step({}, timeout_s=0.05)
        assert (await env.reset()).observation == {"cancellations": 1, "is_clean": True}
        step = asyncio.create_task(env.step({}))
        (session,) = one.registry.sessions.values()
        while not session.is_busy:
            await asyncio.sleep(0)
        step.cancel()
        assert (await env.reset()).observation == {"cancellations": 2, "is_clean": True}


async def test_what_is_cancelled_before_it_begins_never_runs() -> None:
    async with world("memory", Tidy) as one, within(10):
        env = await one.client()
        assert (await env.reset()).observation == {"cancellations": 0, "is_clean": True}
        step = asyncio.create_task(env.step({}))
        await asyncio.sleep(0)
        # Both leave in one message.
        step.cancel()
        assert (await env.reset()).observation == {"cancellations": 0, "is_clean": True}


async def test_a_call_that_waits_for_a_slot_can_be_given_up() -> None:
    async with world("memory", Counter, max_concurrent_envs=1) as one, within(10):
        holder = await one.client()
        await holder.reset()
        late = await one.client(wait_s=60.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await late.reset()
        while len(one.registry.sessions) > 1:
            await asyncio.sleep(0.01)
        await holder.close()
        await late.reset()


async def test_a_batch_that_is_given_up_leaves_its_sessions_needing_a_reset() -> None:
    Sleeper.release = threading.Event()
    async with world("websocket", Sleeper) as one, within(10):
        pool = one.pool()
        async with pool:
            envs: list[Any] = [await pool.session() for _ in range(3)]
            await pool.reset_many(envs)
            with pytest.raises(StepTimeout):
                await pool.step_many(envs, [{}, {"hang": True}, {}], timeout_s=0.2)
            with pytest.raises(NotReset):
                await envs[1].step({})
            assert (await envs[0].step({})).observation == {"slept": True}
            Sleeper.release.set()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await pool.step_many(envs[:1], [{"sleep_s": 0.4}])
            await pool.reset_many(envs)
            assert len(await pool.step_many(envs, [{}] * 3)) == 3
