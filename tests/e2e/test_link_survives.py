"""Sockets are cut at every place: no step is lost, none runs twice, callers notice only time."""

import asyncio
import random

import pytest

from openenv.app import create_app
from openenv.client.env import EnvClient
from openenv.client.pool import connect
from openenv.errors import ConnectionLost, SessionExpired
from openenv.models import State
from openenv.server.config import ServerConfig
from openenv.testing.chaos import cutting_proxy
from tests.environments import Add, AsyncCounter, Counter, ThreadCounter, Total
from tests.patience import within
from tests.serving import serving


class CounterEnv(EnvClient[Add, Total, State]):
    pass


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


@pytest.mark.parametrize("environment", [Counter, ThreadCounter, AsyncCounter])
async def test_steps_run_exactly_once_while_sockets_are_cut_anywhere(environment: type) -> None:
    random_bytes = random.Random(7)

    def budget() -> tuple[int, int]:
        # Enough for the handshake, so that there is progress; the cut falls on any byte after it.
        return random_bytes.randint(700, 2500), random_bytes.randint(400, 2500)

    Counter.steps = 0
    async with (
        serving(create_app(environment)) as url,
        cutting_proxy(port_of(url), budget) as proxy,
        connect(f"http://127.0.0.1:{proxy.port}", connections=1) as pool,
    ):
        envs = [await pool.session(CounterEnv) for _ in range(4)]

        async def episode(env: CounterEnv) -> None:
            expected = (await env.reset(seed=0)).observation.total
            for amount in range(1, 101):
                expected += amount
                assert (await env.step(Add(amount))).observation.total == expected

        async with within(50):
            await asyncio.gather(*(episode(env) for env in envs))
        assert Counter.steps == 400
        assert proxy.cuts >= 5


async def test_a_link_whose_grace_is_over_is_lost_and_says_so() -> None:
    config = ServerConfig(grace_s=0.3)
    async with (
        serving(create_app(Counter, config=config)) as url,
        cutting_proxy(port_of(url)) as proxy,
        CounterEnv(f"http://127.0.0.1:{proxy.port}") as env,
    ):
        await env.reset()
        proxy.is_refusing = True
        proxy.cut()
        async with within(10):
            with pytest.raises(ConnectionLost):
                await env.step(Add(1))
            with pytest.raises((ConnectionLost, SessionExpired)):
                await env.step(Add(1))
            while Counter.living:
                await asyncio.sleep(0.01)
            proxy.is_refusing = False
            assert (await env.reset(seed=5)).observation.total == 5
            assert (await env.step(Add(1))).observation.total == 6


async def test_a_server_that_was_replaced_ends_the_sessions_and_serves_new_ones() -> None:
    async with (
        serving(create_app(Counter)) as old,
        serving(create_app(Counter)) as new,
        cutting_proxy(port_of(old)) as proxy,
        CounterEnv(f"http://127.0.0.1:{proxy.port}") as env,
        within(10),
    ):
        await env.reset(seed=5)
        proxy.target_port = port_of(new)
        proxy.cut()
        with pytest.raises((ConnectionLost, SessionExpired)):
            await env.step(Add(1))
        assert (await env.reset(seed=1)).observation.total == 1
