"""Which session of a vector is asked what, when, and in which order outcomes become ready."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from openenv.channel import FrameChannel
from openenv.client.pool import Pool
from openenv.client.vector.flight import BatchReply, StepOutcome, VectorRequests
from openenv.errors import ConnectionLost, EnvironmentFault, LocalProtocolError, to_wire
from openenv.protocol.columns import STEPS
from openenv.protocol.frames import Error, Open, Opened, Reset, Result, Results, Step, Steps
from tests.client.link.scripted import ScriptedServer, frames, send
from tests.patience import within

OBSERVED = msgspec.Raw(msgspec.msgpack.encode(0))


@asynccontextmanager
async def flying(
    count: int = 2, *, begins_at_once: bool = False, capabilities: tuple[str, ...] = ()
) -> AsyncIterator[tuple[VectorRequests, ScriptedServer, FrameChannel]]:
    """The requests of a vector whose sessions have begun, its server and its socket."""
    server = ScriptedServer()
    pool = Pool("memory:", 1, dial=server.dial)
    async with within(10):
        entering = asyncio.ensure_future(pool.__aenter__())
        socket = await server.greet(capabilities=list(capabilities))
        await entering
        opening = asyncio.ensure_future(pool.sessions(count))
        await send(socket, *[Opened(frame.id, "token") for frame in await frames(socket)])
        clients = await opening
        requests = VectorRequests(clients, begins_at_once=begins_at_once, wait_s=0)
        for index in range(count):
            requests.begin(index)
        await send(socket, *[Result(frame.id, OBSERVED) for frame in await frames(socket)])
        await requests.receive(count)
        try:
            yield requests, server, socket
        finally:
            await pool.__aexit__()


async def test_a_step_goes_to_every_session_and_outcomes_come_as_they_are_ready() -> None:
    async with flying() as (requests, _, socket):
        requests.step([{"a": 1}, {"a": 2}], None)
        first, second = await frames(socket)
        assert [type(first), type(second)] == [Step, Step]
        await send(socket, Result(second.id, OBSERVED, 2.0), Result(first.id, OBSERVED, 1.0))
        outcomes: Any = await requests.receive(2)
        assert [(outcome.index, outcome.reward) for outcome in outcomes] == [(1, 2.0), (0, 1.0)]
        assert requests.in_flight == set()


async def test_steps_travel_together_and_so_do_their_replies() -> None:
    async with flying(capabilities=(STEPS,)) as (requests, _, socket):
        requests.step([{"a": 1}, {"a": 2}], 3.0)
        [steps] = await frames(socket)
        assert (type(steps), steps.timeout_s) == (Steps, 3.0)
        observations = msgspec.Raw(msgspec.msgpack.encode([0, 0]))
        await send(
            socket, Results(steps.ids, observations, [1.0, 2.0], [False, True], [False, False])
        )
        [batch] = await requests.receive(2)
        assert isinstance(batch, BatchReply)
        assert (batch.indices, requests.over) == ([0, 1], {1})


async def test_an_episode_that_is_over_is_begun_by_the_next_step() -> None:
    async with flying() as (requests, _, socket):
        requests.step([{}, {}], None)
        first, second = await frames(socket)
        await send(socket, Result(first.id, OBSERVED, done=True), Result(second.id, OBSERVED))
        await requests.receive(2)
        requests.step([{}, {}], None)
        assert [type(frame) for frame in await frames(socket)] == [Reset, Step]


async def test_an_episode_that_is_over_is_begun_at_once_if_that_is_wanted() -> None:
    async with flying(begins_at_once=True) as (requests, _, socket):
        requests.step([{}, {}], None, among={0})
        [step] = await frames(socket)
        await send(socket, Result(step.id, OBSERVED, 5.0, done=True))
        [reset] = await frames(socket)
        assert type(reset) is Reset
        await send(socket, Result(reset.id, OBSERVED))
        [outcome] = await requests.receive(1)
        assert isinstance(outcome, StepOutcome)
        assert (outcome.is_final, outcome.reward, outcome.terminated) == (True, 5.0, True)
        assert (outcome.final.id, outcome.shown.id) == (step.id, reset.id)


async def test_a_session_that_fails_is_over_and_disturbs_no_other() -> None:
    async with flying() as (requests, _, socket):
        requests.step([{}, {}], None)
        first, second = await frames(socket)
        fault = Error(first.id, *to_wire(EnvironmentFault("its own")))
        await send(socket, fault, Result(second.id, OBSERVED, 1.0))
        failed, stepped = await requests.receive(2)
        assert isinstance(failed, StepOutcome)
        assert isinstance(failed.error, EnvironmentFault)
        assert failed.truncated
        assert isinstance(stepped, StepOutcome)
        assert stepped.error is None
        assert requests.over == {0}


async def test_sessions_of_a_link_that_is_forgotten_are_opened_again() -> None:
    async with flying(begins_at_once=True) as (requests, server, socket):
        requests.step([{}, {}], None)
        await frames(socket)
        await socket.aclose()
        socket = await server.greet("two", resumed=False)
        opens = await frames(socket)
        assert [type(frame) for frame in opens] == [Open, Open]
        await send(socket, *[Opened(frame.id, "token") for frame in opens])
        resets = await frames(socket)
        assert [type(frame) for frame in resets] == [Reset, Reset]
        await send(socket, *[Result(frame.id, OBSERVED) for frame in resets])
        outcomes: Any = await requests.receive(2)
        assert [type(outcome.error) for outcome in outcomes] == [ConnectionLost] * 2
        assert all(outcome.is_final and outcome.shown for outcome in outcomes)


async def test_a_cancelled_receive_loses_no_outcome() -> None:
    async with flying() as (requests, _, socket):
        requests.step([{}, {}], None)
        waiting = asyncio.create_task(requests.receive(2))
        first, second = await frames(socket)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await send(socket, Result(first.id, OBSERVED), Result(second.id, OBSERVED))
        assert len(await requests.receive(2)) == 2


async def test_a_batch_is_divided_where_fewer_are_wanted() -> None:
    async with flying(3, capabilities=(STEPS,)) as (requests, _, socket):
        requests.step([{}, {}, {}], None)
        [steps] = await frames(socket)
        observations = msgspec.Raw(msgspec.msgpack.encode([0, 0, 0]))
        flags = [False] * 3
        await send(socket, Results(steps.ids, observations, [1.0, 2.0, 3.0], flags, flags))
        one: Any = await requests.receive(1)
        others: Any = await requests.receive(2)
        assert [outcome.index for outcome in [*one, *others]] == [0, 1, 2]
        assert [outcome.reward for outcome in [*one, *others]] == [1.0, 2.0, 3.0]


async def test_closing_wakes_whoever_waits() -> None:
    async with flying() as (requests, _, socket):
        requests.step([{}, {}], None)
        await frames(socket)
        waiting = asyncio.create_task(requests.receive(2))
        await asyncio.sleep(0)
        assert requests.is_received
        closing = asyncio.create_task(requests.close())
        with pytest.raises(LocalProtocolError):
            await waiting
        await socket.aclose(4001)
        await closing
