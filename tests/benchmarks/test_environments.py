"""What is made of the windows of an environment."""

import sys
from collections.abc import Sequence

import pytest

from benchmarks import environments
from benchmarks.environments import Finding, Window, table
from benchmarks.policies import Returns
from benchmarks.tape import Player, Subject, check, record, subjects

CODING, ECHO = (
    next(one for one in subjects() if one.manifest.name == name)
    for name in ("coding_env", "echo_env")
)


def windows(**rates: Sequence[float]) -> list[Window]:
    return [
        Window("some_env", place, number, rate, 1000.0, 2000.0)
        for place, found in rates.items()
        for number, rate in enumerate(found)
    ]


def finding(max_sessions: int = 64, name: str = "some_env") -> Finding:
    said = {"execution": "thread", "max_sessions": max_sessions}
    # The second round was disturbed, in all places alike.
    measured = windows(
        raw=[500, 100, 500], default=[450, 95, 420], inline=[475, 80, 480], process=[100, 20, 90]
    )
    return environments._finding(name, said, measured)


def test_a_place_is_compared_round_by_round() -> None:
    found = finding()
    assert (found.ratio, found.best, found.best_ratio) == (0.9, "inline", 0.95)
    assert (found.raw_steps_per_s, found.steps_per_s, found.raw_ms) == (500, 420, 2.0)


def test_no_more_sessions_are_counted_than_a_server_takes() -> None:
    assert [finding(most).sessions_per_core for most in (64, 16_384)] == [64, 420]


def test_slow_steps_and_frames_have_targets() -> None:
    assert finding().goal == 0.8
    assert finding(name="atari_env").goal == 0.5
    fast = environments._finding(
        "some_env", {"execution": "inline", "max_sessions": 8}, windows(raw=[2000], default=[100])
    )
    assert fast.goal is None
    assert table([fast, finding()]).row_count == 2


def test_a_gain_may_be_chance() -> None:
    assert Returns("e", "t", 20, random=1.0, policy=2.0, error=0.4).is_better
    assert not Returns("e", "t", 20, random=1.0, policy=2.0, error=0.6).is_better


async def test_a_tape_is_the_same_episode_again() -> None:
    tape = await record(ECHO)
    assert len(tape.actions) == len(tape.rewards) == 100
    await check(Player(ECHO.registry.spec.factory(), tape), tape)
    tape.rewards[3] = -1.0
    with pytest.raises(RuntimeError, match="rewarded"):
        await check(Player(ECHO.registry.spec.factory(), tape), tape)


def test_an_unknown_name_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["environments", "--only", "coffee"])
    assert environments.main() == 2
    assert "there are atari_env" in capsys.readouterr().err


def test_an_environment_shows_its_tasks_and_where_it_has_none() -> None:
    assert "is_prime" in CODING.tasks
    assert Subject(ECHO.folder).tasks == {"": {}}
