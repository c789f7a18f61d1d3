"""A recording grows by whole lines, and has its name only when it is complete."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from openenv.errors import ConfigurationError, PayloadError
from openenv.recording import Episode, Recorder, Turn, read

ROOT = Path(__file__).parents[2]


def episode(number: int, text: str = "") -> Episode:
    turns = [Turn({"text": text}, {}, 0.0, False, False)]
    return Episode(1, number, f"run-{number}", turns, 0.0, 1, "done")


def fail_after(episodes: int, path: Path) -> None:
    with Recorder(path) as recorder:
        for number in range(episodes):
            recorder.write(episode(number))
        raise RuntimeError("the run failed")


def test_a_whole_run_gets_its_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    with Recorder(path) as recorder:
        recorder.write(episode(0))
        assert not path.exists()
        # What has ended is in the file at once.
        assert [one.episode for one in read(recorder.part)] == [0]
        recorder.write(episode(1))
    assert [one.episode for one in read(path)] == [0, 1]
    assert os.listdir(tmp_path) == ["episodes.jsonl"]


def test_a_run_that_fails_leaves_its_part_and_says_so(tmp_path: Path) -> None:
    part = tmp_path / "episodes.jsonl.part"
    with pytest.raises(RuntimeError) as caught:
        fail_after(1, tmp_path / "episodes.jsonl")
    assert os.listdir(tmp_path) == [part.name]
    assert [one.episode for one in read(part)] == [0]
    assert caught.value.__notes__ == [
        f"Episodes that ended before: 1, in {part}; resume the run to go on with them"
    ]


def test_a_run_that_fails_at_once_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        fail_after(0, tmp_path / "episodes.jsonl")
    assert os.listdir(tmp_path) == []
    assert not hasattr(caught.value, "__notes__")


def test_what_has_ended_survives_the_death_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    code = (
        "import os, signal\n"
        "from tests.recording.test_recorder import Recorder, episode\n"
        f"recorder = Recorder({str(path)!r})\n"
        "for number in range(100):\n"
        "    recorder.write(episode(number))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert [one.episode for one in read(f"{path}.part")] == list(range(100))


@pytest.mark.parametrize("taken", ["episodes.jsonl", "episodes.jsonl.part"])
def test_a_recording_is_overwritten_only_if_told_to(tmp_path: Path, taken: str) -> None:
    path = tmp_path / "episodes.jsonl"
    (tmp_path / taken).write_text("precious")
    with pytest.raises(ConfigurationError, match=f"{taken} exists"):
        Recorder(path)
    assert (tmp_path / taken).read_text() == "precious"
    with Recorder(path, overwrite=True) as recorder:
        recorder.write(episode(0))
    assert [one.episode for one in read(path)] == [0]


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot write .*No such file or directory"):
        Recorder(tmp_path / "no" / "such" / "folder.jsonl")


def test_an_episode_that_cannot_be_encoded_leaves_the_file_whole(tmp_path: Path) -> None:
    with Recorder(tmp_path / "episodes.jsonl") as recorder:
        recorder.write(episode(0))
        with pytest.raises(PayloadError):
            recorder.write(Episode(1, 1, "x", [], 0.0, 0, "done", final_observation=object()))
        recorder.write(episode(2))
    assert [one.episode for one in read(recorder.path)] == [0, 2]


def test_a_full_disk_keeps_the_episodes_before(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "episodes.jsonl")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        recorder.write(episode(0))
        with pytest.raises(OSError, match="File too large"):
            recorder.write(episode(1, "x" * 8192))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert recorder.part.read_bytes().endswith(b"\n")
    recorder.write(episode(2))
    recorder.abandon()
    assert [one.episode for one in read(recorder.part)] == [0, 2]
