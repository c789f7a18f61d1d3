import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from benchmarks.peers.programs.closed_loop import Lane, answer_requests


class Steps:
    """Lanes of two episodes each; every call takes one turn of the loop, and is counted."""

    def __init__(self) -> None:
        self.calls = 0
        self.most_in_flight = 0
        self._in_flight = 0

    @asynccontextmanager
    async def open_lanes(self, url: str, sessions: int) -> AsyncIterator[list[Lane]]:
        assert url == "http://server"
        yield [Lane(self._step, episodes=2) for _ in range(sessions)]

    async def _step(self) -> None:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        await asyncio.sleep(0)
        self._in_flight -= 1
        self.calls += 1


def _ask(
    monkeypatch: pytest.MonkeyPatch, steps: Any, sessions: int, server_pid: int | None = None
) -> dict[str, Any]:
    request = {
        "url": "http://server",
        "sessions": sessions,
        "warmup_s": 0.0,
        "window_s": 0.05,
        "server_pid": server_pid or os.getpid(),
    }
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request) + "\n"))
    monkeypatch.setattr(sys, "stdout", printed)
    answer_requests(steps.open_lanes, asyncio.run)
    answer: dict[str, Any] = json.loads(printed.getvalue())
    return answer


def test_steps_are_calls_times_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps()
    answer = _ask(monkeypatch, steps, 3)
    # Some calls fall outside of the window: at its ends, each lane has at most one more.
    assert 0 < answer["steps"] <= 2 * steps.calls
    assert answer["steps"] % 2 == 0
    assert answer["elapsed_s"] >= 0.05


def test_each_lane_has_one_step_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps()
    _ask(monkeypatch, steps, 40)
    assert steps.most_in_flight == 40


def test_latency_and_cpu_time_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = _ask(monkeypatch, Steps(), 40)
    assert 0 < answer["p50_us"] <= answer["p99_us"]
    assert answer["timed"] > 0
    # Server and client are this one busy process, read one after the other.
    assert answer["server_cpu_s"] == pytest.approx(answer["client_cpu_s"], rel=0.2)
    assert 0 < answer["client_cpu_s"] <= answer["elapsed_s"] * 1.1


BUSY = "import time\nprint(flush=True)\nwhile True: time.process_time()"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {BUSY!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
"""


def test_what_a_server_has_started_counts_as_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        answer = _ask(monkeypatch, Steps(), 1, parent.pid)
        assert parent.stdin is not None
        parent.stdin.close()
    # The parent only waits; a child that is busy has more than this even of a busy core.
    assert answer["server_cpu_s"] > 0.002


def test_a_step_that_raises_fails_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Steps):
        async def _step(self) -> None:
            raise ValueError("the server echoed nonsense")

    assert "echoed nonsense" in _ask(monkeypatch, Broken(), 1)["failed"]


def test_what_opening_takes_and_sessions_need_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hoarding(Steps):
        @asynccontextmanager
        async def open_lanes(self, url: str, sessions: int) -> AsyncIterator[list[Lane]]:
            hoard = bytearray(os.urandom(1) * (64 * 1024 * 1024))
            async with super().open_lanes(url, sessions) as lanes:
                yield lanes
            del hoard

    answer = _ask(monkeypatch, Hoarding(), 2)
    assert answer["opening_s"] > 0
    assert answer["sessions_kib"] > 60 * 1024
    assert answer["server_threads"] >= 1


def test_a_wrong_result_fails_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Steps):
        @asynccontextmanager
        async def open_lanes(self, url: str, sessions: int) -> AsyncIterator[list[Lane]]:
            async def check() -> None:
                raise RuntimeError("that is not what was sent")

            yield [Lane(self._step, check=check)]

    wrong = Wrong()
    assert "that is not what was sent" in _ask(monkeypatch, wrong, 1)["failed"]
    assert wrong.calls == 0
