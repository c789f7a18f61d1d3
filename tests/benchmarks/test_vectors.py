"""Every row of the benchmark of vectors steps all its environments."""

import os
from typing import Any

import pytest

from benchmarks.cart_pole import CartPole
from benchmarks.load_vectors import gymnasium_async, gymnasium_sync, halves, ours
from openenv.app import create_app
from tests.patience import within
from tests.serving import serving


@pytest.mark.parametrize(
    ("way", "episodes"), [(ours, 4), (halves, 2), (gymnasium_sync, 4), (gymnasium_async, 4)]
)
async def test_a_lane_steps_the_environments(way: Any, episodes: int) -> None:
    cores = os.sched_getaffinity(0)
    try:
        async with (
            within(50),
            serving(create_app(CartPole)) as url,
            way(url, 4) as lanes,
        ):
            [lane] = lanes
            assert lane.episodes == episodes
            for _ in range(30):
                await lane.step()
    finally:
        os.sched_setaffinity(0, cores)
