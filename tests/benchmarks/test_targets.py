from pathlib import Path

import pytest

from benchmarks import rows
from benchmarks.measuring import Summary, summarize
from benchmarks.plot import draw
from benchmarks.rows import Row
from benchmarks.targets import TARGETS, Findings, Target
from tests.benchmarks.test_measuring import _sample

BY_NAME = {target.name: target for target in TARGETS}


def found(*measured: tuple[Row, float, int]) -> Findings:
    samples = [_sample(row.name, rate, sessions=sessions) for row, rate, sessions in measured]
    return Findings({"throughput": summarize(samples, rows.BASELINE.name)})


def test_no_two_targets_have_the_same_name() -> None:
    assert len(BY_NAME) == len(TARGETS)


def test_a_rate_is_judged_by_its_ratio_at_the_same_number_of_sessions() -> None:
    target = BY_NAME["steps/s, multiplexed, 256"]
    findings = found(
        (rows.BASELINE, 1.0, 64), (rows.BASELINE, 10.0, 256), (rows.MULTIPLEXED, 490.0, 256)
    )
    value = target.value(findings)
    assert value == 49.0
    assert not target.is_met(value)
    assert target.is_met(target.goal)


def test_ten_thousand_sessions_are_compared_with_a_thousand() -> None:
    findings = found((rows.MULTIPLEXED, 100.0, 1024), (rows.MULTIPLEXED, 80.0, 10_000))
    assert BY_NAME["rate of 10,000 to that of 1,024"].value(findings) == 80.0


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_was_not_measured_is_not_said_to_be_met(target: Target) -> None:
    assert target.value(Findings()) is None


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_goal_is_met_on_its_own_side_only(target: Target) -> None:
    better, worse = (2.0, 0.5) if target.is_floor else (0.5, 2.0)
    assert target.is_met(target.goal * better)
    assert not target.is_met(target.goal * worse)


def test_the_plot_has_a_line_and_a_name_for_each_row(tmp_path: Path) -> None:
    samples = [
        _sample(row, rate * sessions, sessions=sessions)
        for row, rate in (("ours", 100.0), ("theirs", 3.0))
        for sessions in (1, 64)
    ]
    summaries: list[Summary] = summarize(samples, "theirs")
    path = tmp_path / "plot.svg"
    draw(summaries, ["ours", "theirs"], "a machine", path)
    text = path.read_text()
    assert all(words in text for words in ("ours", "theirs", "a machine", "steps per second"))
    again = tmp_path / "again.svg"
    draw(summaries, ["ours", "theirs"], "a machine", again)
    assert again.read_text() == text
