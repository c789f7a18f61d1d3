"""A recording of a million turns is written, read and summed up in the memory of a few episodes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import patient
from tests.processes import ENVIRON

PROGRAM = """
import re
import sys
from pathlib import Path

from openenv.recording import Episode, Recorder, Turn, read
from openenv.recording.report import write_report

EPISODES, TURNS = 1000, 1000
path = Path(sys.argv[1])


def episode(number):
    observation = {"position": [0.1, 0.2], "text": "seen"}
    turns = [
        Turn(observation, {"move": index}, 1.0, False, False, latency_s=0.001, policy_s=0.002)
        for index in range(TURNS)
    ]
    return Episode(1, number, f"e-{number}", turns, 1000.0, TURNS, "max_turns")


def peak_mb():
    peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
    # From here on it is the peak of what follows.
    Path("/proc/self/clear_refs").write_text("5")
    return peak_kb / 1024


def write(path, count):
    with Recorder(path) as recorder:
        for number in range(count):
            recorder.write(episode(number))


def count(path):
    return sum(len(episode.turns) for episode in read(path))


# What is imported and allocated once is no growth.
small = path.with_name("small.jsonl.zst")
write(small, 5)
count(small)
write_report([small], small.with_suffix(".html"))
peak_mb()
before = peak_mb()
peaks = []
write(path, EPISODES)
peaks.append(peak_mb())
assert count(path) == EPISODES * TURNS
peaks.append(peak_mb())
write_report([path], path.with_suffix(".html"))
peaks.append(peak_mb())
print(*(f"{peak - before:.1f}" for peak in peaks))
"""

GROWTH_MB = 12.0
"One episode's turns and their text are 1 MB; the whole recording's would be 400 and more."


@pytest.mark.parametrize("name", ["episodes.jsonl.zst"])
def test_a_million_turns_need_the_memory_of_a_few_episodes(name: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / name)],
        # Measuring coverage would take most of the time.
        env=ENVIRON | {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""},
        capture_output=True,
        text=True,
        timeout=patient(50),
    )
    assert run.returncode == 0, run.stderr
    growths_mb = [float(growth) for growth in run.stdout.split()]
    assert max(growths_mb) < GROWTH_MB, growths_mb
