"""Calls of a batched policy: what waits goes together, and calls never overlap."""

import asyncio
from typing import Any

import pytest

from openenv.rollout.collect import collect
from openenv.rollout.policy import PolicyFailed, acting
from tests.environments import Counter
from tests.patience import within


async def test_what_is_asked_in_one_turn_of_the_loop_is_one_call() -> None:
    batches = []

    def double(observations: list[int]) -> list[int]:
        batches.append(observations)
        return [2 * one for one in observations]

    async with acting(double, batched=True) as act:
        assert await asyncio.gather(*(act(number) for number in range(5))) == [0, 2, 4, 6, 8]
        assert await act(7) == 14
    assert batches == [[0, 1, 2, 3, 4], [7]]


async def test_what_comes_during_a_call_waits_for_the_next() -> None:
    batches, gate, running = [], asyncio.Event(), 0

    async def slow(observations: list[int]) -> list[int]:
        nonlocal running
        running += 1
        assert running == 1
        batches.append(observations)
        await gate.wait()
        running -= 1
        return observations

    async with acting(slow, batched=True) as act, within(5):
        first = asyncio.create_task(act(1))
        while not batches:
            await asyncio.sleep(0)
        others = [asyncio.create_task(act(number)) for number in (2, 3)]
        await asyncio.sleep(0)
        assert batches == [[1]]
        gate.set()
        assert await first == 1
        assert await asyncio.gather(*others) == [2, 3]
    assert batches == [[1], [2, 3]]


async def test_who_gives_up_does_not_disturb_the_others() -> None:
    async with acting(lambda observations: observations, batched=True) as act:
        gone, stays = asyncio.create_task(act(1)), asyncio.create_task(act(2))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 2


async def test_leaving_ends_the_call_that_runs() -> None:
    cancelled = asyncio.Event()

    async def hang(_: list[int]) -> list[int]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return []

    async with acting(hang, batched=True) as act:
        asked = asyncio.create_task(act(1))
        for _ in range(3):
            await asyncio.sleep(0)
        asked.cancel()
    assert cancelled.is_set()


@pytest.mark.parametrize("batched", [False, True])
async def test_the_cause_of_a_failure_is_kept(batched: bool) -> None:
    def fail(_: Any) -> Any:
        raise KeyError("lost")

    async with acting(fail, batched) as act:
        with pytest.raises(PolicyFailed, match="lost") as caught:
            await act(1)
    assert caught.value.remote_type == "KeyError"
    assert isinstance(caught.value.__cause__, KeyError)


async def test_an_error_without_words_is_still_named() -> None:
    def fail(_: Any) -> Any:
        raise AssertionError

    async with acting(fail) as act:
        with pytest.raises(PolicyFailed, match="AssertionError"):
            await act(1)


async def test_a_timeout_of_the_policy_s_own_is_told_as_such() -> None:
    async def give_up(_: Any) -> Any:
        raise TimeoutError("the model did not answer")

    async with acting(give_up, timeout_s=60.0) as act:
        with pytest.raises(PolicyFailed, match="the model did not answer"):
            await act(1)


@pytest.mark.parametrize("timeout_s", [None, 60.0])
@pytest.mark.parametrize("batched", [False, True])
async def test_a_cancellation_that_comes_out_of_the_policy_fails_only_its_episode(
    batched: bool, timeout_s: float | None
) -> None:
    async def ask_a_model_that_was_cancelled(_: Any) -> Any:
        model = asyncio.ensure_future(asyncio.Event().wait())
        model.cancel()
        await model

    async with within(5):
        run = await collect(
            Counter,
            ask_a_model_that_was_cancelled,
            episodes=3,
            concurrency=2,
            batched=batched,
            timeout_s=timeout_s,
        )
    assert (run.episodes, run.causes) == (3, {"POLICY_FAILED": 3})


class Panic(BaseException):
    """What an extension module raises when it cannot go on."""


@pytest.mark.parametrize("batched", [False, True])
async def test_what_is_no_exception_ends_the_run_and_leaves_nobody_waiting(batched: bool) -> None:
    def panic(_: Any) -> Any:
        raise Panic

    async with within(5):
        with pytest.raises(Panic):
            await collect(Counter, panic, episodes=3, concurrency=2, batched=batched)
