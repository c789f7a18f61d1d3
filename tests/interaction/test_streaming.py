"""A step that is a generator: its values before the last are partial observations."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from openenv.client.env import EnvClient
from openenv.environment import Environment
from openenv.errors import EnvironmentFault, OpenEnvError, StepTimeout
from openenv.models import State
from openenv.server.config import ServerConfig
from tests.interaction.worlds import EVERY, NATIVE, world
from tests.patience import patient, within


class Counting(Environment[dict[str, Any], dict[str, Any], State]):
    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self) -> dict[str, Any]:
        return {"n": 0}

    def step(self, action: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for n in range(1, action["to"] + 1):
            if n == action.get("fail_at"):
                raise ValueError("lost count")
            yield {"n": n, "reward": float(n), "done": n == action["to"]}


class CountingOnThread(Counting):
    execution = "thread"


class CountingInProcess(Counting):
    execution = "process"


class Ending(CountingInProcess):
    """Says in which process it is, and how many generators have ended there, however."""

    ended = 0

    def reset(self) -> dict[str, Any]:
        return {"pid": os.getpid()}

    def step(self, action: dict[str, Any]) -> Iterator[dict[str, Any]]:
        try:
            for value in super().step(action):
                yield {**value, "pid": os.getpid(), "ended": Ending.ended}
        finally:
            Ending.ended += 1


class CountingAsync(Counting):
    async def step(self, action: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        for value in super().step(action):
            await asyncio.sleep(0)
            yield value


class StreamingEnv(EnvClient[dict[str, Any], dict[str, Any], State]):
    """As in the documents: the async iterator under a streaming step."""

    async def stream_step(self, action: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        async for observation in self._ws_step(action):
            yield observation


PLACEMENTS = [Counting, CountingOnThread, CountingInProcess, CountingAsync]


@pytest.mark.parametrize("transport", NATIVE)
@pytest.mark.parametrize("environment", PLACEMENTS)
async def test_a_stream_yields_every_partial_and_then_the_result(
    transport: str, environment: type
) -> None:
    async with world(transport, environment) as one, within(10):
        env = await one.client()
        await env.reset()
        results = [result async for result in env.stream({"to": 5})]
        assert [result.observation["n"] for result in results] == [1, 2, 3, 4, 5]
        assert [result.done for result in results] == [False] * 4 + [True]
        assert (await env.state())["step_count"] == 1


@pytest.mark.parametrize("transport", EVERY)
@pytest.mark.parametrize("environment", PLACEMENTS)
async def test_a_plain_step_gets_the_last_value_only(transport: str, environment: type) -> None:
    async with world(transport, environment) as one, within(10):
        env = await one.client()
        await env.reset()
        result = await env.step({"to": 3})
        assert (result.observation["n"], result.reward, result.done) == (3, 3.0, True)


@pytest.mark.parametrize("environment", PLACEMENTS)
async def test_a_stream_that_fails_has_shown_what_came_before(environment: type) -> None:
    async with world("websocket", environment) as one, within(10):
        env = await one.client()
        await env.reset()
        seen: list[int] = []
        with pytest.raises(EnvironmentFault):
            async for result in env.stream({"to": 5, "fail_at": 4}):
                seen += [result.observation["n"]]
        # The value before the failure may have been the last: it was not sent as a partial one.
        assert seen == [1, 2]
        assert (await env.step({"to": 1})).done


async def test_a_stream_that_is_left_early_leaves_the_connection_usable() -> None:
    async with world("websocket", CountingAsync) as one, within(10):
        env = await one.client()
        await env.reset()
        async for _ in env.stream({"to": 1000}):
            break
        await env.reset()
        assert (await env.step({"to": 2})).observation["n"] == 2


@pytest.mark.parametrize("is_closed", [False, True])
async def test_a_stream_that_is_given_up_ends_and_costs_its_neighbours_nothing(
    is_closed: bool,
) -> None:
    config = ServerConfig(workers=1, worker_grace_s=patient(10), close_timeout_s=0.1)
    async with world("websocket", Ending, config=config) as one, within(20):
        env, neighbour = await one.client(), await one.client()
        await env.reset()
        pid = (await neighbour.reset()).observation["pid"]
        if is_closed:
            async for _ in env.stream({"to": 10**9}):
                break
            with suppress(OpenEnvError):
                await env.close()
        else:
            with pytest.raises(StepTimeout):
                async for _ in env.stream({"to": 10**9}, timeout_s=0.2):
                    pass
        observation = (await neighbour.step({"to": 1})).observation
        assert observation == {"n": 1, "pid": pid, "ended": 1}


async def test_the_streaming_client_of_the_documents_works() -> None:
    async with world("websocket", Counting) as one:
        env = await one.client(StreamingEnv)
        await env.reset()
        assert [value["n"] async for value in env.stream_step({"to": 3})] == [1, 2, 3]


async def test_a_generator_that_yields_nothing_is_a_fault() -> None:
    async with world("websocket", Counting) as one:
        env = await one.client()
        await env.reset()
        with pytest.raises(EnvironmentFault):
            await env.step({"to": 0})
