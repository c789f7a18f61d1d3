"""When a lost socket is replaced, and when its link is given up."""

import pytest

from openenv.client.link.reconnecting import BASE_S, CAP_S, ReconnectPolicy, lost_link
from openenv.protocol.link import Link

GRACE_S = 60.0


def longest(_: float, limit_s: float) -> float:
    """Jitter that always waits as long as the backoff allows."""
    return limit_s


def delays(policy: ReconnectPolicy, count: int, now_s: float = 0.0) -> list[float | None]:
    return [policy.next_delay_s(now_s) for _ in range(count)]


def test_the_backoff_doubles_up_to_its_cap() -> None:
    policy = ReconnectPolicy(longest)
    policy.socket_lost((0, 0), GRACE_S, now_s=0.0)
    doubling = [BASE_S * 2**attempt for attempt in range(6)]
    assert delays(policy, 30) == [*doubling, *[CAP_S] * 24]


def test_the_jitter_chooses_between_nothing_and_the_backoff() -> None:
    asked: list[tuple[float, float]] = []
    policy = ReconnectPolicy(lambda low_s, high_s: asked.append((low_s, high_s)) or 0.01)  # type: ignore[func-returns-value]
    policy.socket_lost((0, 0), GRACE_S, now_s=0.0)
    assert delays(policy, 2) == [0.01, 0.01]
    assert asked == [(0.0, BASE_S), (0.0, 2 * BASE_S)]


@pytest.mark.parametrize(
    ("now_s", "delay_s"),
    [(5.0, 0.05), (64.99, 0.01), (65.0, None), (70.0, None)],
)
def test_attempts_end_with_the_grace(now_s: float, delay_s: float | None) -> None:
    policy = ReconnectPolicy(longest)
    policy.socket_lost((0, 0), GRACE_S, now_s=5.0)
    assert policy.next_delay_s(now_s) == (None if delay_s is None else pytest.approx(delay_s))


@pytest.mark.parametrize(
    ("progress", "begins_anew"),
    [((3, 4), False), ((4, 4), True), ((3, 5), True)],
    ids=["none", "the server acknowledged", "the server sent"],
)
def test_only_progress_begins_grace_and_backoff_anew(
    progress: tuple[int, int], begins_anew: bool
) -> None:
    policy = ReconnectPolicy(longest)
    policy.socket_lost((3, 4), GRACE_S, now_s=0.0)
    assert delays(policy, 3) == [BASE_S, 2 * BASE_S, 4 * BASE_S]
    policy.socket_lost(progress, GRACE_S, now_s=59.0)
    assert policy.next_delay_s(59.0) == (BASE_S if begins_anew else 8 * BASE_S)
    assert (policy.next_delay_s(60.0) is None) == (not begins_anew)


def test_the_error_of_a_lost_link_says_how_far_it_came() -> None:
    link = Link(1024)
    link.sent, link.received = 7, 5
    error = lost_link("why", link)
    assert (error.sent, error.received) == (7, 5)
