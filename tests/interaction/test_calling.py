"""Every way of writing an environment's methods works over every transport, and in workers."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar

import pytest

from openenv.client.pool import Pool
from openenv.environment import Environment
from openenv.errors import EnvironmentFault
from openenv.models import State
from openenv.rollout.collect import collect
from openenv.server.config import ServerConfig
from openenv.testing.inprocess import Instance
from tests.interaction.worlds import EVERY, world
from tests.patience import patient, within


@dataclass
class Act:
    by: int = 1


@dataclass
class Seen:
    count: int
    episode_id: str | None = None
    done: bool = False


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)

    return call


def hidden(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **options)

    return call


class Counting(Environment[Act, Seen, State]):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def begin(self) -> Seen:
        self.count = 0
        return Seen(0, self.episode_id)

    def act(self, action: Act) -> Seen:
        self.count += action.by
        return Seen(self.count, self.episode_id, done=self.count >= 3)


class OrdinaryAsyncNames(Counting):
    def reset_async(self, seed: int | None = None) -> Seen:
        return self.begin()

    def step_async(self, action: Act) -> Seen:
        return self.act(action)


class InlineAsyncNames(OrdinaryAsyncNames):
    execution = "inline"


class Traced(Counting):
    @traced
    async def reset(self, seed: int | None = None) -> Seen:
        await asyncio.sleep(0)
        return self.begin()

    @traced
    async def step(self, action: Act) -> Seen:
        await asyncio.sleep(0)
        return self.act(action)


class AsyncStep(Counting):
    def reset(self, seed: int | None = None) -> Seen:
        return self.begin()

    async def step(self, action: Act) -> Seen:
        await asyncio.sleep(0)
        return self.act(action)


class AsyncReset(Counting):
    async def reset(self, seed: int | None = None) -> Seen:
        await asyncio.sleep(0)
        return self.begin()

    def step(self, action: Act) -> Seen:
        return self.act(action)


class MixedStream(AsyncReset):
    def step(self, action: Act) -> Any:
        yield Seen(-1)
        yield self.act(action)


KINDS = (
    OrdinaryAsyncNames,
    InlineAsyncNames,
    Traced,
    AsyncStep,
    AsyncReset,
    MixedStream,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transport", EVERY)
async def test_each_kind_of_class_is_played(transport: str, kind: type) -> None:
    async with world(transport, kind) as one, within(20):
        env = await one.client()
        begun = await env.reset(episode_id="mine")
        # An environment knows its episode's id in `reset` already.
        assert begun.observation["episode_id"] == "mine"
        for count in (1, 2, 3):
            result = await env.step({"by": 1})
            assert result.observation["count"] == count
        assert result.done
        state = await env.state()
        assert (state["episode_id"], state["step_count"]) == ("mine", 3)
        assert (await env.reset()).observation["count"] == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_class_is_stepped_in_columns(kind: type) -> None:
    async with world("websocket", kind) as one, Pool(one.url) as pool, within(20):
        envs = await pool.sessions(3)
        await pool.reset_many(envs)
        for count in (1, 2, 3):
            results = await pool.step_many(envs, [{"by": 1}] * 3)
            assert [result.observation["count"] for result in results] == [count] * 3
        assert [(await env.state())["step_count"] for env in envs] == [3, 3, 3]


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_class_is_collected_from_in_process(kind: type) -> None:
    run = await collect(kind, lambda _: {"by": 1}, episodes=3)
    assert not run.causes
    assert [len(episode.turns) for episode in run] == [3, 3, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_class_is_played_by_the_helper_for_tests(kind: type) -> None:
    with Instance(kind) as one:
        assert one.reset(episode_id="mine").episode_id == "mine"
        assert one.step(Act(2)).count == 2
        assert one.state.step_count == 1


@pytest.mark.parametrize("transport", EVERY)
async def test_an_async_function_that_nobody_can_see_is_named_with_its_cure(transport: str) -> None:
    class Hidden(Counting):
        def reset(self, seed: int | None = None) -> Seen:
            return self.begin()

        @hidden
        async def step(self, action: Act) -> Seen: ...  # type: ignore[empty-body]

    async with world(transport, Hidden) as one, within(20):
        env = await one.client()
        await env.reset()
        with pytest.raises(EnvironmentFault, match=r"functools\.wraps"):
            await env.step({"by": 1})


class Blocking(Environment[Act, Seen, State]):
    """Has an async step; what blocks is ordinary."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    may_go_on: ClassVar[threading.Event]
    loop_thread: ClassVar[int]

    def __init__(self) -> None:
        self.check()

    def reset(self, seed: int | None = None) -> Seen:
        self.check()
        assert self.may_go_on.wait(patient(10))
        return Seen(0)

    async def step(self, action: Act) -> Seen:
        assert threading.get_ident() == self.loop_thread
        return Seen(1)

    def close(self) -> None:
        self.check()

    def check(self) -> None:
        assert threading.get_ident() != self.loop_thread


@pytest.mark.parametrize("transport", EVERY)
async def test_a_blocking_reset_beside_an_async_step_holds_up_nobody(transport: str) -> None:
    Blocking.may_go_on, Blocking.loop_thread = threading.Event(), threading.get_ident()
    async with world(transport, Blocking) as one, within(20):
        slow = await one.client()
        resetting = asyncio.create_task(slow.reset())
        while not [session for session in one.registry.sessions.values() if session.is_busy]:
            await asyncio.sleep(0)
        # This runs on the server's event loop: it would stand still.
        Blocking.may_go_on.set()
        assert (await resetting).observation["count"] == 0
        assert (await slow.step({"by": 1})).observation["count"] == 1


async def test_a_blocking_call_beside_async_ones_has_a_deadline_and_is_left_behind() -> None:
    Blocking.may_go_on, Blocking.loop_thread = threading.Event(), threading.get_ident()
    config = ServerConfig(step_timeout_s=0.1)
    async with world("memory", Blocking, config=config) as one, within(20):
        env = await one.client()
        with pytest.raises(TimeoutError):
            await env.reset()
        assert one.registry.health == "degraded"
        Blocking.may_go_on.set()
        assert (await env.reset()).observation["count"] == 0
        while one.registry.health != "healthy":
            await asyncio.sleep(0)
