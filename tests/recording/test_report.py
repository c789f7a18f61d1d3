"""A report says of recordings what their episodes say, and asks nobody for anything."""

import json
import math
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from openenv.errors import ConfigurationError, PayloadError
from openenv.recording import Cause, Episode, Recorder, Turn
from openenv.recording.report import number, share, time, write_report
from openenv.recording.summary import EXTREMES, Times, summarize
from tests.processes import openenv

HUGE = b'{"version":1,"episode":%d,"turns":[],"return":0,"length":0,"ended":"done"}\n' % (2**63)
NASTY = "</script><script>alert(1)</script><img src=//example.com/x>"


def episode(index: int, return_: float = 1.0, length: int = 2, **fields: Any) -> Episode:
    turns = [
        Turn({"x": "y" * 100}, {}, 0.0, False, False, latency_s=0.001 * (index + 1), policy_s=0.01)
        for _ in range(length)
    ]
    defaults = {"ended": "done", "seed": 1000 + index, "reset_latency_s": 0.5}
    return Episode(1, index, f"e-{index}", turns, return_, length, **(defaults | fields))


def failed(index: int, code: str, message: str = "it broke") -> Episode:
    cause = Cause(code, message, "OSError")
    return episode(index, 0.0, 1, ended="failed", error=cause)


def record(path: Path, episodes: list[Episode]) -> Path:
    with Recorder(path) as recorder:
        for one in episodes:
            recorder.write(one)
    return path


class Page(HTMLParser):
    """Its text, what it refers to, and its data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.charts: dict[str, Any] = {}
        self.policy = ""
        self._inside = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.text = re.sub(r"\s+", " ", " ".join(self.texts))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = "data" if ("id", "data") in attrs else tag
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.charts = json.loads(data)["charts"]
        elif self._inside not in ("style", "script"):
            self.texts.append(data)


def page_of(tmp_path: Path, *recordings: Path) -> Page:
    write_report(recordings, tmp_path / "page.html")
    return Page(tmp_path / "page.html")


# ---- numbers


def test_a_summary_counts_what_a_recording_holds(tmp_path: Path) -> None:
    recording = record(
        tmp_path / "x.jsonl",
        [
            episode(2, 5.0, 4),
            failed(1, "STEP_TIMEOUT"),
            episode(0, -1.0, 2, ended="truncated"),
            failed(3, "STEP_TIMEOUT", "again"),
            episode(4, math.inf, 1, ended="max_turns"),
        ],
    )
    summary = summarize(recording)
    assert (summary.episodes, summary.steps, summary.failures) == (5, 9, 2)
    assert summary.ended == {"done": 1, "truncated": 1, "max_turns": 1, "failed": 2}
    assert list(summary.numbers) == [0, 1, 2, 3, 4]
    assert list(summary.lengths) == [2, 1, 4, 1, 1]
    assert [one for one in summary.returns if not math.isnan(one)] == [-1.0, 5.0, math.inf]
    assert list(summary.mean_latencies_s) == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.005])
    assert summary.causes["STEP_TIMEOUT"] == (2, 1, 1001, "OSError", "it broke")
    assert [one.episode for one in summary.lowest] == [0, 2, 4]
    assert [one.episode for one in summary.longest][:2] == [2, 0]
    assert [one.episode for one in summary.slowest] == [4, 3, 2, 1, 0]
    assert (summary.step_times.count, summary.policy_times.count) == (9, 9)
    assert summary.reset_times.quantile_s(0.5) == pytest.approx(0.5, rel=0.006)


def test_only_a_few_episodes_are_singled_out(tmp_path: Path) -> None:
    recording = record(tmp_path / "x.jsonl", [episode(i, float(i)) for i in range(100)])
    summary = summarize(recording)
    assert [one.episode for one in summary.highest] == [99, 98, 97, 96, 95]
    assert [one.episode for one in summary.lowest] == [0, 1, 2, 3, 4]
    assert len(list(summary.longest)) == EXTREMES


def test_percentiles_of_times_are_right_to_one_percent() -> None:
    times, values_s = Times(), [1e-5 * 1.001**index for index in range(10_000)]
    for value_s in reversed(values_s):
        times.add(value_s)
    for percentile in (0.01, 0.5, 0.95, 0.99, 1.0):
        exact_s = values_s[round(percentile * len(values_s)) - 1]
        assert times.quantile_s(percentile) == pytest.approx(exact_s, rel=0.01)
    assert times.longest_s == values_s[-1]
    assert len(times.bins) < 1000


@pytest.mark.parametrize("strange_s", [0.0, -1.0, 1e-300, 1e300, math.inf])
def test_times_that_cannot_be_are_counted_at_the_ends(strange_s: float) -> None:
    times = Times()
    times.add(strange_s)
    assert times.count == 1
    assert 0 < times.quantile_s(0.5) < 1e8


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(1234567), "1,234,567"),
        (number(0.0), "0"),
        (number(3.14159), "3.142"),
        (number(-0.000123), "-0.000123"),
        (number(math.nan), "-"),
        (number(math.inf), "inf"),
        (time(0.0123), "12.3 ms"),
        (time(3e-6), "3 µs"),
        (time(12.0), "12 s"),
        (time(4321.0), "4,321 s"),
        (time(math.nan), "-"),
        (share(0.5), "50 %"),
        (share(0.0), "0 %"),
        (share(1.0), "100 %"),
        (share(1e-6), "< 0.1 %"),
        (share(0.99999), "> 99.9 %"),
    ],
)
def test_numbers_are_written_for_people(shown: str, expected: str) -> None:
    assert shown == expected


# ---- the page


def test_a_page_shows_the_numbers_and_curves_of_a_recording(tmp_path: Path) -> None:
    episodes = [episode(i, float(i % 10), 1 + i % 3) for i in range(1000)]
    recording = record(tmp_path / "x.jsonl", [*episodes, failed(1000, "STEP_TIMEOUT")])
    page = page_of(tmp_path, recording)
    for expected in ("x.jsonl", "1,001 episodes", "4.500 mean return", "STEP_TIMEOUT", "seed 2000"):
        assert expected in page.text
    [curve] = page.charts["returns"]
    assert len(curve["x"]) == len(curve["mean"]) <= 160
    assert all(
        low <= mean <= high
        for low, mean, high in zip(*map(curve.get, ("low", "mean", "high")), strict=True)
        if low is not None
    )
    for name in ("return-distribution", "length-distribution", "step-distribution"):
        bins = page.charts[name]
        [shares] = bins["shares"]
        assert len(bins["x"]) == len(shares) + 1
        assert sum(shares) == pytest.approx(100, abs=0.01)
    assert page.charts["length-distribution"]["shares"][0][:3] == pytest.approx(
        [33.4, 33.3, 33.2], abs=0.2
    )
    [failures] = page.charts["failures"]
    assert [one for one in failures["mean"] if one] == [failures["mean"][-1]]


def test_recordings_are_compared_over_the_same_bins(tmp_path: Path) -> None:
    one = record(tmp_path / "one.jsonl", [episode(i, float(i)) for i in range(10)])
    (tmp_path / "two").mkdir()
    two = record(tmp_path / "two" / "one.jsonl", [episode(i, 100.0 + i) for i in range(20)])
    page = page_of(tmp_path, one, two)
    assert "Side by side" in page.text
    assert f"{one}" in page.text
    assert f"{two}" in page.text
    bins = page.charts["return-distribution"]
    assert len(bins["shares"]) == 2
    assert bins["x"][0] <= 0
    assert bins["x"][-1] >= 119
    assert [sum(shares) for shares in bins["shares"]] == pytest.approx([100, 100], abs=0.01)


def test_a_page_refers_to_nothing_and_may_not(tmp_path: Path) -> None:
    page = page_of(tmp_path, record(tmp_path / "x.jsonl", [episode(0)]))
    assert page.references == ["data:,"]
    assert page.policy.startswith("default-src 'none'")
    assert "http" not in page.policy


def test_what_environments_say_cannot_become_part_of_the_page(tmp_path: Path) -> None:
    clean = page_of(tmp_path, record(tmp_path / "x.jsonl", [failed(0, "CODE")]))
    recording = tmp_path / f"{NASTY.replace('/', '')}.jsonl"
    dirty = page_of(tmp_path, record(recording, [failed(0, NASTY, NASTY)]))
    assert dirty.tags == clean.tags
    assert dirty.references == clean.references
    assert NASTY in dirty.text


@pytest.mark.parametrize(
    "episodes",
    [
        [],
        [failed(0, "CODE")],
        [Episode(1, 0, "e", [], 0.0, 0, "done")],
        [Episode(1, 0, "e", [Turn({}, {}, math.nan, True, False)], math.nan, 1, "done")],
        [episode(0, 7.0), episode(1, 7.0)],
        [episode(0, 1.7e308), episode(1, -1.7e308)],
        [episode(0, 1e-300), episode(1, 0.5)],
    ],
)
def test_there_is_a_page_whatever_the_episodes(tmp_path: Path, episodes: list[Episode]) -> None:
    recording = record(tmp_path / "x.jsonl", [episode(0)])
    recording.unlink()
    recording = record(tmp_path / "x.jsonl", episodes)
    page = page_of(tmp_path, recording, record(tmp_path / "y.jsonl", [episode(0)]))
    assert "NaN" not in json.dumps(page.charts)
    assert "Infinity" not in json.dumps(page.charts)


# ---- what goes wrong


def test_a_recording_that_is_not_there_is_named_with_the_part_that_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"does not exist$"):
        write_report([tmp_path / "x.jsonl"], tmp_path / "page.html")
    (tmp_path / "x.jsonl.part").touch()
    with pytest.raises(ConfigurationError, match=r"x\.jsonl\.part does"):
        write_report([tmp_path / "x.jsonl"], tmp_path / "page.html")


def test_a_page_is_not_written_over_its_recording(tmp_path: Path) -> None:
    recording = record(tmp_path / "x.jsonl", [episode(0)])
    before = recording.read_bytes()
    with pytest.raises(ConfigurationError, match="another name"):
        write_report([recording], tmp_path / "." / "x.jsonl")
    assert recording.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    recording = record(tmp_path / "x.jsonl", [episode(0)])
    with pytest.raises(ConfigurationError, match=r"cannot write .*No such file or directory"):
        write_report([recording], tmp_path / "no" / "page.html")


@pytest.mark.parametrize(
    "line", [b"{}\n", b"[]\n", b"nonsense\n", b'{"version": 2}\n', b"\xff\xfe\n", HUGE]
)
def test_a_line_that_is_no_episode_is_named(tmp_path: Path, line: bytes) -> None:
    recording = record(tmp_path / "x.jsonl", [episode(0)])
    with recording.open("ab") as file:
        file.write(line)
    with pytest.raises(PayloadError, match=r"x\.jsonl:2 is no recorded episode"):
        summarize(recording)


def test_a_version_that_is_not_known_is_refused(tmp_path: Path) -> None:
    recording = record(tmp_path / "x.jsonl", [episode(0)])
    recording.write_bytes(recording.read_bytes().replace(b'"version":1', b'"version":9'))
    with pytest.raises(PayloadError, match="version 9"):
        summarize(recording)


# ---- the command


def test_the_command_writes_the_page_beside_the_recording(tmp_path: Path) -> None:
    record(tmp_path / "x.jsonl.zst", [episode(i) for i in range(3)])
    run = openenv("report", "x.jsonl.zst", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, "written to x.html\n"), run.stderr
    assert "3 episodes" in Page(tmp_path / "x.html").text


def test_the_command_says_what_was_cut_off(tmp_path: Path) -> None:
    recording = record(tmp_path / "x.jsonl", [episode(0), episode(1)])
    shutil.copy(recording, tmp_path / "x.jsonl.part")
    with (tmp_path / "x.jsonl.part").open("r+b") as file:
        file.truncate(recording.stat().st_size - 3)
    run = openenv("report", "x.jsonl.part", "-o", "cut.html", cwd=tmp_path)
    assert run.returncode == 0
    assert "is cut" in run.stderr
    page = Page(tmp_path / "cut.html")
    assert "1 episodes" in page.text
    assert "has not come to its end" in page.text


def test_the_command_needs_an_episode(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").touch()
    run = openenv("report", "x.jsonl", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "openenv: no episode has ended in x.jsonl\n"


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openenv.recording import report  # noqa: PLC0415 - its cache is emptied

    monkeypatch.setitem(sys.modules, "jinja2", None)
    report._template.cache_clear()
    with pytest.raises(ConfigurationError, match=r"pip install 'openenv\[report\]'"):
        write_report([], tmp_path / "page.html")
