"""Pauses grow, up to the longest, and clients of one server draw different ones."""

import pytest

from openenv.backoff import pause_s, random_pause_s


@pytest.mark.parametrize(
    ("attempt", "pause"), [(0, 0.5), (1, 1.0), (2, 2.0), (3, 3.0), (4, 3.0), (10_000, 3.0)]
)
def test_a_pause_doubles_up_to_the_longest(attempt: int, pause: float) -> None:
    assert pause_s(attempt, 0.5, 3.0) == pause


def test_a_pause_may_grow_more_slowly() -> None:
    assert [pause_s(attempt, 1.0, 3.0, 1.5) for attempt in range(4)] == [1.0, 1.5, 2.25, 3.0]


def test_random_pauses_differ_and_lie_below_the_pause() -> None:
    pauses = [random_pause_s(1, 0.5, 3.0) for _ in range(200)]
    assert all(0 <= pause <= 1.0 for pause in pauses)
    assert len(set(pauses)) > 100
    assert max(pauses) - min(pauses) > 0.5
