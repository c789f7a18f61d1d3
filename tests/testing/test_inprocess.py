"""Instance: an environment called as a session calls it, from blocking code."""

import asyncio

import pytest

from openenv.errors import PayloadError
from openenv.testing.inprocess import Instance
from tests.environments import Add, AsyncCounter, Counter


def test_an_episode_counts_as_in_a_session() -> None:
    with Instance(Counter) as one:
        assert one.reset(seed=3).total == 3
        assert one.step(Add(2)).total == 5
        assert one.step({"amount": 4}).total == 9
        assert one.state.step_count == 2
        one.reset()
        assert one.state.step_count == 0


def test_an_action_is_read_as_a_client_s_is() -> None:
    with Instance(Counter) as one:
        one.reset()
        with pytest.raises(PayloadError) as caught:
            one.step({"amount": "many"})
        assert caught.value.path == ".amount"
        assert one.step_count == 0


def test_everything_async_runs_on_one_loop() -> None:
    loops = []

    class Remembering(AsyncCounter):
        async def reset(self, seed: int | None = None):  # type: ignore[no-untyped-def]
            loops.append(asyncio.get_running_loop())
            return await super().reset(seed)

        async def close(self) -> None:  # type: ignore[override]
            loops.append(asyncio.get_running_loop())
            Counter.close(self)

    with Instance(Remembering) as one:
        one.reset()
    assert loops == loops[:1] * 2
    assert loops[0].is_closed()


def test_it_is_closed_once() -> None:
    living = Counter.living
    with Instance(Counter) as one:
        assert Counter.living == living + 1
        one.close()
    assert Counter.living == living
