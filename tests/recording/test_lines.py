"""Lines lie in a file as they are, or in zstd frames, and are read back to the last whole one."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from openenv.errors import ConfigurationError, PayloadError
from openenv.recording import Recorder, read
from openenv.recording.lines import CHUNK_BYTES, packer, read_lines, whole_bytes
from tests.recording.test_recorder import episode

NAMES = ["episodes.jsonl", "episodes.jsonl.zst"]


def write(path: Path, lines: list[bytes]) -> list[int]:
    """Write lines as a recorder does; return where each ends."""
    pack, ends = packer(path), [0]
    with path.open("wb") as file:
        for line in lines:
            file.write(pack(line))
            ends.append(file.tell())
    return ends


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_to_its_last_whole_line_wherever_it_is_cut(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / name
    lines = [b"first\n", b"\n", b"third, which is longer\n"]
    ends = write(path, lines)
    content = path.read_bytes()
    for size in range(len(content) + 1):
        caplog.clear()
        path.write_bytes(content[:size])
        whole = sum(end <= size for end in ends[1:])
        assert list(read_lines(path)) == lines[:whole]
        assert whole_bytes(path) == ends[whole]
        left = size - ends[whole]
        assert [record.args for record in caplog.records] == ([(path, left)] if left else [])


@pytest.mark.parametrize("name", NAMES)
def test_lines_longer_than_what_is_read_at_once_come_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    noise = random.Random(1)
    lines = [
        noise.randbytes(size).replace(b"\n", b"_") + b"\n"
        for size in (5, 3 * CHUNK_BYTES, CHUNK_BYTES - 30, 100, CHUNK_BYTES + 1, 0, 7)
    ]
    ends = write(path, lines)
    assert list(read_lines(path)) == lines
    assert whole_bytes(path) == ends[-1]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="opt-in: install the tool zstd")
def test_the_plain_tool_reads_what_is_compressed(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl.zst"
    lines = [f"{number}\n".encode() for number in range(50)]
    write(path, lines)
    shown = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    assert shown == b"".join(lines)


@pytest.mark.parametrize("name", NAMES)
def test_many_lines_in_one_frame_are_read_whatever_the_file_s_name(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    lines = [b"%d\n" % number for number in range(100_000)]
    path.write_bytes(zstandard.compress(b"".join(lines)))
    assert list(read_lines(path)) == lines
    assert whole_bytes(path) == path.stat().st_size


@pytest.mark.parametrize("place", ["in", "after"])
def test_a_damaged_frame_is_told_from_one_that_was_cut(place: str, tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl.zst"
    _, first, second = write(path, [b"first\n", b"second\n"])
    content = bytearray(path.read_bytes())
    content[second - 6] ^= 1
    path.write_bytes(content if place == "in" else content[:first] + b"no frame")
    lines = read_lines(path)
    with pytest.raises(PayloadError, match=f"head -c {first}"):
        assert [next(lines), next(lines)]


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "episodes.jsonl.zst"
    write(path, [b"x\n"])
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for attempt in (lambda: list(read_lines(path)), lambda: Recorder(path, overwrite=True)):
        with pytest.raises(ConfigurationError, match=r"pip install 'openenv\[zstd\]'"):
            attempt()
    assert path.stat().st_size


def test_a_compressed_recording_grows_where_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl.zst"
    with Recorder(path) as recorder:
        for number in range(3):
            recorder.write(episode(number))
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with Recorder(path, resume=True) as recorder:
        assert [one.episode for one in recorder.recorded()] == [0, 1]
        recorder.write(episode(2))
    assert path.read_bytes() == content
    assert [one.episode for one in read(path)] == [0, 1, 2]


@pytest.mark.parametrize(("was", "becomes"), [NAMES, NAMES[::-1]])
def test_a_recording_whose_name_lies_is_not_gone_on_with(
    was: str, becomes: str, tmp_path: Path
) -> None:
    with Recorder(tmp_path / was) as recorder:
        recorder.write(episode(0))
    content = (tmp_path / was).read_bytes()
    (tmp_path / was).rename(tmp_path / becomes)
    with pytest.raises(ConfigurationError, match="compressed if and only if"):
        Recorder(tmp_path / becomes, resume=True)
    assert (tmp_path / becomes).read_bytes() == content
