"""A closed session's environment is freed at once, without waiting for garbage collection."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from weakref import WeakSet

import pytest

from openenv.environment import Environment
from openenv.errors import EnvironmentFault, StepTimeout
from openenv.server.config import ServerConfig
from tests.interaction.worlds import EVERY, World, world
from tests.patience import within
from tests.worker_environments import Living


class Kept(Environment[dict[str, Any], dict[str, Any], Any]):
    """Says which of its instances are alive."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    living: ClassVar[WeakSet[Any]] = WeakSet()

    def __init__(self) -> None:
        Kept.living.add(self)

    def reset(self) -> dict[str, Any]:
        return {}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        if action.get("raise"):
            raise ValueError("as asked")
        return {"done": True}


class KeptInline(Kept):
    execution = "inline"


class KeptAsync(Kept):
    async def reset(self) -> dict[str, Any]:  # type: ignore[override]
        await asyncio.sleep(0)
        return {}

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        await asyncio.sleep(3600 if action.get("hang") else 0)
        return super().step(action)


class KeptMixed(Kept):
    async def step(self, action: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().step(action)


class KeptOnOneThread(Kept):
    REQUIRES_SINGLE_THREAD_EXECUTOR = True


def nothing(_: logging.LogRecord) -> bool:
    return False


@pytest.fixture(autouse=True)
def _without_garbage_collection() -> Iterator[None]:
    Kept.living.clear()
    # pytest keeps log records, and those the frames of exceptions.
    logger = logging.getLogger("openenv.server")
    logger.addFilter(nothing)
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    logger.removeFilter(nothing)


@asynccontextmanager
async def played(transport: str, environment: type, **options: Any) -> AsyncIterator[World]:
    async with world(transport, environment, **options) as one, within(5):
        yield one
        while one.registry.sessions or Kept.living:
            await asyncio.sleep(0)


@pytest.mark.parametrize("environment", [KeptInline, Kept, KeptAsync, KeptMixed, KeptOnOneThread])
@pytest.mark.parametrize("transport", EVERY)
async def test_an_environment_is_freed_when_its_session_closes(
    transport: str, environment: type
) -> None:
    async with played(transport, environment) as one:
        for _ in range(3):
            env = await one.client()
            await env.reset()
            await env.step({})
            with pytest.raises(EnvironmentFault):
                await env.step({"raise": True})
            assert len(Kept.living) == 1
            await env.close()
            while Kept.living:
                await asyncio.sleep(0)


@pytest.mark.parametrize("environment", [KeptInline, Kept, KeptAsync])
async def test_a_watched_session_s_environment_is_freed_too(environment: type) -> None:
    async with played("memory", environment, config=ServerConfig(watch=True)) as one:
        env = await one.client()
        await env.reset()
        await env.step({})
        await env.close()


async def test_an_environment_whose_call_was_cancelled_is_freed() -> None:
    async with played("memory", KeptAsync) as one:
        env = await one.client()
        await env.reset()
        with pytest.raises(StepTimeout):
            await env.step({"hang": True}, timeout_s=0.01)
        await env.close()


async def test_a_worker_frees_an_environment_when_its_session_closes() -> None:
    async with world("memory", Living, config=ServerConfig(workers=1)) as one, within(5):
        for _ in range(3):
            env = await one.client()
            # The reset collects nothing: it counts the instances that are alive.
            assert (await env.reset()).observation == {"living": 1}
            await env.close()
