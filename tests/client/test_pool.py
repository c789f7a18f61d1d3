"""Many sessions over few connections, and whole batches in one message."""

import asyncio

import pytest

from openenv.app import create_app
from openenv.client.env import EnvClient
from openenv.client.pool import Pool, connect
from openenv.errors import ConfigurationError, ConnectError, PayloadError, SessionCapacityError
from openenv.models import State
from tests.environments import Add, AsyncCounter, Counter, ThreadCounter, Total
from tests.patience import within
from tests.serving import serving


class CounterEnv(EnvClient[Add, Total, State]):
    pass


@pytest.mark.parametrize("environment", [Counter, ThreadCounter, AsyncCounter])
async def test_hundreds_of_sessions_share_two_sockets(environment: type) -> None:
    app = create_app(environment, max_concurrent_envs=200)
    async with serving(app) as url, connect(url) as pool, within(20):
        envs = [await pool.session(CounterEnv) for _ in range(200)]
        firsts = await pool.reset_many(envs, seeds=list(range(200)))
        assert [first.observation.total for first in firsts] == list(range(200))

        async def play(env: CounterEnv, start: int) -> None:
            for step in range(1, 6):
                assert (await env.step(Add(1))).observation.total == start + step

        await asyncio.gather(*(play(env, start) for start, env in enumerate(envs)))
        assert len(app.state.registry.links) == 2
        assert app.state.registry.active == 200
    assert Counter.living == 0


async def test_step_many_returns_results_in_the_order_of_its_sessions() -> None:
    async with serving(create_app(Counter)) as url, connect(url, connections=3) as pool:
        envs = [await pool.session(CounterEnv) for _ in range(10)]
        await pool.reset_many(envs)
        results = await pool.step_many(envs, [Add(amount) for amount in range(10)])
        assert [result.observation.total for result in results] == list(range(10))
        assert await pool.step_many([], []) == []


async def test_one_failing_step_of_many_is_raised_after_the_others_have_run() -> None:
    async with serving(create_app(Counter)) as url, connect(url) as pool:
        envs = [await pool.session() for _ in range(3)]
        await pool.reset_many(envs)
        actions = [{"amount": 1}, {"amount": "one"}, {"amount": 3}]
        with pytest.raises(PayloadError):
            await pool.step_many(envs, actions)
        results = await pool.step_many(envs, actions, return_exceptions=True)
        assert isinstance(results[1], PayloadError)
        assert [results[0].observation["total"], results[2].observation["total"]] == [2, 6]


async def test_mismatched_lists_are_refused_before_anything_is_sent() -> None:
    async with serving(create_app(Counter)) as url, connect(url) as pool:
        env = await pool.session(CounterEnv)
        await env.reset()
        with pytest.raises(ConfigurationError):
            await pool.step_many([env], [Add(1), Add(2)])
        with pytest.raises(ConfigurationError):
            await pool.reset_many([env], seeds=[1, 2])
        assert (await env.step(Add(1))).observation.total == 1


async def test_sessions_of_a_pool_wait_for_a_slot_by_default() -> None:
    app = create_app(Counter, max_concurrent_envs=2)
    async with serving(app) as url, connect(url) as pool, within(10):
        finished = 0

        async def episode() -> None:
            nonlocal finished
            env = await pool.session(CounterEnv)
            await env.reset()
            await env.step(Add(1))
            await env.close()
            finished += 1

        await asyncio.gather(*(episode() for _ in range(20)))
        assert finished == 20
        first, _ = await pool.session(CounterEnv), await pool.session(CounterEnv)
        with pytest.raises(SessionCapacityError):
            await pool.session(CounterEnv, wait_s=0)
        await first.close()
        await pool.session(CounterEnv, wait_s=0)


async def test_a_pool_of_no_connections_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Pool("http://127.0.0.1:1", connections=0)


async def test_a_server_that_is_not_there_is_a_connect_error() -> None:
    with pytest.raises(ConnectError):
        async with connect("http://127.0.0.1:9"):
            pass


@pytest.mark.parametrize("environment", [Counter, ThreadCounter, AsyncCounter])
async def test_many_sessions_are_opened_at_once_and_spread_over_the_connections(
    environment: type,
) -> None:
    app = create_app(environment, max_concurrent_envs=100)
    async with serving(app) as url, connect(url, connections=4) as pool, within(20):
        envs = await pool.sessions(100, CounterEnv, label="train/1")
        assert sorted(one.session_count for one in pool._links) == [25] * 4
        assert len({env.session_token for env in envs}) == 100
        await pool.reset_many(envs)
        results = await pool.step_many(envs, [Add(index) for index in range(100)])
        assert [result.observation.total for result in results] == list(range(100))
    assert Counter.living == 0


async def test_of_many_sessions_all_or_none_are_opened() -> None:
    app = create_app(Counter, max_concurrent_envs=3)
    async with serving(app) as url, connect(url) as pool, within(20):
        with pytest.raises(SessionCapacityError):
            await pool.sessions(4, CounterEnv, wait_s=0)
        envs = await pool.sessions(3, CounterEnv, wait_s=5)
        assert len(envs) == 3
        assert await pool.sessions(0) == []


async def test_giving_up_the_wait_for_many_sessions_leaves_none_behind() -> None:
    app = create_app(Counter, max_concurrent_envs=3)
    async with serving(app) as url, connect(url) as pool, within(20):
        waiting = asyncio.create_task(pool.sessions(4, CounterEnv))
        while app.state.registry.active < 3:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert len(await pool.sessions(3, CounterEnv, wait_s=5)) == 3
