"""HttpConnection: order, batches, and requests that are sent again and still run once."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from openenv.app import create_app
from openenv.client.env import EnvClient
from openenv.client.http.connection import HttpConnection
from openenv.errors import ConfigurationError, ConnectionLost, PayloadError, SessionExpired
from openenv.models import State
from openenv.protocol.frames import Close, Error, GetState, Open, Opened, Reset, Result, Step
from openenv.testing.chaos import cutting_proxy
from tests.environments import Add, Counter, ThreadCounter, Total
from tests.serving import serving


class CounterEnv(EnvClient[Add, Total, State]):
    pass


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[HttpConnection]:
    connection = HttpConnection(url)
    await connection.open()
    try:
        yield connection
    finally:
        await connection.aclose()


class Listener:
    reason: str | None = None

    def session_closed(self, reason: str) -> None:
        self.reason = reason


async def open_session(connection: HttpConnection, listener: Listener | None = None) -> int:
    number = connection.next_session(listener or Listener())
    opened = await connection.request(Open(connection.next_id(), number), 5)
    assert type(opened) is Opened
    reset = await connection.request(Reset(connection.next_id(), number), 5)
    assert type(reset) is Result
    return number


async def test_requests_of_one_session_run_in_their_order() -> None:
    async with serving(create_app(ThreadCounter)) as url, connected(url) as connection:
        number = await open_session(connection)
        frames = [Step(connection.next_id(), number, {"amount": 1}) for _ in range(10)]
        replies = await connection.request_many(frames, 10)
        assert [reply.reward for reply in replies] == [1.0] * 10
        totals = [bytes(reply.observation)[-1] for reply in replies]
        assert totals == list(range(1, 11))


async def test_a_batch_holds_errors_in_their_places() -> None:
    async with serving(create_app(Counter)) as url, connected(url) as connection:
        assert await connection.request_many([], 5) == []
        numbers = [await open_session(connection) for _ in range(2)]
        assert connection.session_count == 2
        amounts = [1, "x"]
        frames = [
            Step(connection.next_id(), number, {"amount": amount})
            for number, amount in zip(numbers, amounts, strict=True)
        ]
        good, bad = await connection.request_many(frames, 5)
        assert type(good) is Result
        assert (type(bad), bad.code) == (Error, PayloadError.code)


async def test_what_is_pushed_is_done_before_the_connection_closes() -> None:
    app = create_app(Counter)
    async with serving(app) as url:
        async with connected(url) as connection:
            number = await open_session(connection)
            connection.forget_session(number)
            connection.push(Close(connection.next_id(), number))
        assert not app.state.registry.sessions


async def test_listeners_are_told_when_the_connection_closes_and_nothing_works_then() -> None:
    listener = Listener()
    async with serving(create_app(Counter)) as url:
        async with connected(url) as connection:
            number = await open_session(connection, listener)
        assert listener.reason == "the connection was closed"
        assert not connection.is_open
        with pytest.raises(ConnectionLost):
            await connection.request(GetState(connection.next_id(), number), 5)
        await connection.aclose()
        await connection.open()
        with pytest.raises(SessionExpired):
            await connection.request(GetState(connection.next_id(), number), 5)
        await connection.aclose()


async def test_another_event_loop_is_told_so() -> None:
    async with serving(create_app(Counter)) as url, connected(url) as connection:

        def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="another event loop"):
                asyncio.run(connection.open())

        await asyncio.to_thread(elsewhere)


async def test_a_step_that_is_sent_again_runs_once() -> None:
    before = Counter.steps
    async with serving(create_app(Counter)) as url:
        # A reply is some 200 bytes: cuts fall before, in the middle of and after them.
        budgets = ((1 << 20, 600 + 37 * turn) for turn in itertools.count())
        async with cutting_proxy(urlsplit(url).port, lambda: next(budgets)) as proxy:
            connection = HttpConnection(f"http://127.0.0.1:{proxy.port}")
            env = CounterEnv(url, link=connection)
            await env.reset()
            results = [await env.step(Add(1)) for _ in range(60)]
            assert [result.observation.total for result in results] == list(range(1, 61))
            assert (await env.state()).step_count == 60
            assert proxy.cuts > 3
            await env.close()
            await connection.aclose()
    assert Counter.steps - before == 60


async def test_a_cancelled_call_leaves_the_connection_usable() -> None:
    async with serving(create_app(ThreadCounter)) as url, connected(url) as connection:
        number = await open_session(connection)
        step = Step(connection.next_id(), number, {"amount": 1})
        given_up = asyncio.create_task(connection.request(step, 5))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        reply = await connection.request(Reset(connection.next_id(), number, seed=4), 5)
        assert bytes(reply.observation)[-1] == 4
