"""What waits for replies: each request gets exactly one, an error if nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from openenv.client.link.requests import BatchSink, ReplySink, Requests
from openenv.errors import ConnectionLost, RequestTimeout, SessionExpired, StepTimeout, to_wire
from openenv.protocol.frames import (
    Cancel,
    Closed,
    Error,
    GetState,
    Partial,
    Result,
    Results,
    SegmentAnswer,
    SegmentOffer,
    StateReply,
    Step,
)
from tests.patience import within


class Listener:
    """A session that notes why it was closed."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def session_closed(self, reason: str) -> None:
        self.reasons.append(reason)


@asynccontextmanager
async def pending() -> AsyncIterator[tuple[Requests, list[Any]]]:
    """Requests without a link, and the frames that they push."""
    pushed: list[Any] = []

    def split(frame: Results) -> list[Any]:
        return [Result(request_id, b"") for request_id in frame.ids]

    requests = Requests(
        asyncio.get_running_loop(), pushed.append, split, lambda _: SegmentAnswer(False)
    )
    try:
        async with within(10):
            yield requests, pushed
    finally:
        requests.stop()


def step(request_id: int, session: int = 1) -> Step:
    return Step(request_id, session, {})


def columns(ids: list[int]) -> Results:
    count = len(ids)
    return Results(ids, b"", [0.0] * count, [False] * count, [False] * count)


# ---- deadlines


async def test_a_timeout_fails_the_request_and_cancels_it_on_the_server() -> None:
    async with pending() as (requests, pushed):
        reply: Any = await requests.ask(step(1, session=7), 0.01)
        assert (reply.id, reply.code) == (1, RequestTimeout.code)
        assert pushed == [step(1, session=7), Cancel(1, 7)]


async def test_a_timeout_is_that_of_its_request_alone() -> None:
    async with pending() as (requests, _):
        patient = requests.ask(step(1), 60)
        reply: Any = await requests.ask(step(2), 0.01)
        assert reply.code == RequestTimeout.code
        assert not patient.done()
        requests.receive([Result(1, b"")])
        assert (await patient).id == 1


async def test_a_stream_has_a_deadline() -> None:
    async with pending() as (requests, pushed):
        stream = requests.follow(step(1), 0.01)
        with pytest.raises(RequestTimeout):
            await anext(stream)
        assert pushed == [step(1), Cancel(1, 1)]


async def test_partial_results_do_not_prolong_the_deadline_of_a_stream() -> None:
    async with pending() as (requests, _):
        replies: Any = requests.follow(step(1), 0.01)
        received = 0
        with pytest.raises(RequestTimeout):
            while True:
                reading = asyncio.ensure_future(anext(replies))
                await asyncio.sleep(0)
                requests.receive([Partial(1, b"")])
                await reading
                received += 1
        assert received


async def test_many_requests_of_a_batch_time_out_together() -> None:
    async with pending() as (requests, pushed):
        replies: Any = await requests.ask_many([step(1), step(2)], 0.01)
        assert [reply.code for reply in replies] == [RequestTimeout.code] * 2
        assert pushed[2:] == [Cancel(1, 1), Cancel(2, 1)]


# ---- giving up


async def test_a_request_that_is_given_up_is_cancelled_once_and_its_late_reply_dropped() -> None:
    async with pending() as (requests, pushed):
        future = requests.ask(step(1), 60)
        requests.give_up(1)
        requests.give_up(1)
        assert pushed == [step(1), Cancel(1, 1)]
        requests.receive([Result(1, b"")])
        assert not future.done()


async def test_leaving_a_stream_early_cancels_its_request() -> None:
    async with pending() as (requests, pushed):
        stream: Any = requests.follow(step(1), 60)
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        requests.receive([Partial(1, b"")])
        assert type(await reading) is Partial
        await stream.aclose()
        assert pushed == [step(1), Cancel(1, 1)]


async def test_a_stream_ends_with_its_result_and_cancels_nothing() -> None:
    async with pending() as (requests, pushed):
        stream: Any = requests.follow(step(1), 60)
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        requests.receive([Partial(1, b""), Result(1, b"")])
        kinds = [type(await reading), *[type(reply) async for reply in stream]]
        assert kinds == [Partial, Result]
        assert pushed == [step(1)]


async def test_an_error_is_raised_by_a_stream() -> None:
    async with pending() as (requests, _):
        stream: Any = requests.follow(step(1), 60)
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        requests.receive([Error(1, StepTimeout.code, "late")])
        with pytest.raises(StepTimeout):
            await reading


async def test_cancelling_a_batch_gives_all_its_open_requests_up() -> None:
    async with pending() as (requests, pushed):
        batch = asyncio.ensure_future(requests.ask_many([step(1), step(2)], 60))
        await asyncio.sleep(0)
        requests.receive([Result(1, b"")])
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch
        assert pushed[2:] == [Cancel(2, 1)]


@pytest.mark.parametrize("reply", [Result(1, b""), StateReply(1, b""), columns([1])])
async def test_a_reply_to_a_caller_that_was_just_cancelled_disturbs_no_other(reply: Any) -> None:
    async with pending() as (requests, _):
        requests.ask(step(1), 60).cancel()
        other = requests.ask(step(2), 60)
        requests.receive([reply, Result(2, b"")])
        assert (await other).id == 2


# ---- replies


async def test_replies_come_back_in_the_order_of_their_requests() -> None:
    async with pending() as (requests, _):
        asking = asyncio.ensure_future(requests.ask_many([step(1), GetState(2, 1)], 60))
        await asyncio.sleep(0)
        requests.receive([StateReply(2, b""), Result(1, b"")])
        assert [type(reply) for reply in await asking] == [Result, StateReply]


async def test_columns_go_to_a_sink_at_once_and_to_single_callers_one_by_one() -> None:
    async with pending() as (requests, _):
        batch = BatchSink(2)
        batch.ids = [1, 2]
        requests.send([1, 1], [step(1), step(2)], 60, batch)
        single = requests.ask(step(3), 60)
        requests.receive([columns([1, 2])])
        await batch.done
        assert [frame.ids for frame in batch.columns] == [[1, 2]]
        requests.receive([columns([3])])
        assert (await single).id == 3


async def test_an_offer_of_shared_memory_is_answered() -> None:
    async with pending() as (requests, pushed):
        requests.receive([SegmentOffer(1, 2, 3, b"nonce")])
        assert pushed == [SegmentAnswer(False)]


async def test_an_error_that_answers_no_request_is_kept() -> None:
    async with pending() as (requests, _):
        requests.receive([Error(0, StepTimeout.code, "closing")])
        assert isinstance(requests.unsolicited_error, StepTimeout)


# ---- sessions


async def test_the_end_of_a_session_is_told_once_and_fails_what_it_still_owes() -> None:
    async with pending() as (requests, _):
        listener = Listener()
        requests.listen(7, listener)
        mine, other = requests.ask(step(1, session=7), 60), requests.ask(step(2, session=8), 60)
        requests.receive([Closed(0, 7, "idle"), Closed(0, 7, "again")])
        reply: Any = await mine
        assert reply.code == SessionExpired.code
        assert listener.reasons == ["idle"]
        assert not other.done()
        assert requests.session_count == 0


async def test_a_result_in_the_message_that_ends_its_session_still_counts() -> None:
    async with pending() as (requests, _):
        mine = requests.ask(step(1, session=7), 60)
        requests.receive([Closed(0, 7, "idle"), Result(1, b"")])
        assert type(await mine) is Result


async def test_a_forgotten_session_is_told_nothing() -> None:
    async with pending() as (requests, _):
        listener = Listener()
        requests.listen(7, listener)
        requests.forget(7)
        requests.receive([Closed(0, 7, "idle")])
        requests.lose_all(ConnectionLost("gone"))
        assert listener.reasons == []


async def test_a_lost_link_ends_sessions_before_it_fails_their_requests() -> None:
    async with pending() as (requests, _):
        listener, order = Listener(), []

        class Sink(ReplySink):
            def on_reply(self, reply: Any) -> None:
                order.append((reply.code, list(listener.reasons)))

        sink = Sink()
        sink.ids = [1]
        requests.listen(7, listener)
        requests.send([7], [step(1, session=7)], 60, sink)
        lost = ConnectionLost("gone")
        requests.lose_all(lost)
        assert order == [(to_wire(lost)[0], ["gone"])]
