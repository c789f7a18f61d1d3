"""A disk that is full ends a run with its name and a way out; when there is room, it goes on."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from openenv.recording import read
from tests.patience import patient
from tests.processes import ENVIRON, OPENENV

ROOM_KB = 64


@dataclass
class Disk:
    """A folder with little room, for those whose command begins with `limit`."""

    folder: Path
    limit: str
    complaint: str

    def make_room(self) -> None:
        if self.limit:
            self.limit = ""
        else:
            grow = ["mount", "-o", "remount,size=64m", self.folder]
            subprocess.run(grow, check=True, capture_output=True)


@contextmanager
def small_disk(kind: str, folder: Path) -> Iterator[Disk]:
    if kind == "limit":
        yield Disk(folder, f"ulimit -f {ROOM_KB}; ", "File too large")
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_KB}k", "openenv-test", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("opt-in: run the tests as root, where mounting is allowed")
    try:
        yield Disk(folder, "", "No space left on device")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def collect(disk: Disk, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(*OPENENV, "collect", "tests.environments:Counter", "--episodes", "2000"),
        *("--max-turns", "5", "--seed", "1", "--out", name, *options),
    ]
    return subprocess.run(
        ["bash", "-c", f'{disk.limit}exec "$@"', "bash", *command],
        cwd=disk.folder,
        env=ENVIRON | {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""},
        capture_output=True,
        text=True,
        timeout=patient(50),
    )


@pytest.mark.parametrize("kind", ["mount", "limit"])
@pytest.mark.parametrize("name", ["episodes.jsonl", "episodes.jsonl.zst"])
def test_what_was_recorded_is_kept_and_gone_on_with(kind: str, name: str, tmp_path: Path) -> None:
    with small_disk(kind, tmp_path) as disk:
        full = collect(disk, name)
        part = tmp_path / f"{name}.part"
        assert (full.returncode, full.stdout) == (1, "")
        kept = [episode.episode for episode in read(part)]
        assert full.stderr.splitlines() == [
            f"openenv: [Errno {27 if kind == 'limit' else 28}] {disk.complaint}: "
            f"make room and resume the run: '{name}.part'",
            f"Episodes that ended before: {len(kept)}, in {name}.part; "
            "resume the run to go on with them",
        ]
        assert 20 < len(kept) < 2000
        again = collect(disk, name, "--resume")
        assert again.returncode == 1
        assert [episode.episode for episode in read(part)][: len(kept)] == kept
        disk.make_room()
        whole = collect(disk, name, "--resume")
        assert whole.returncode == 0, whole.stderr
        episodes = [episode.episode for episode in read(tmp_path / name)]
        assert sorted(episodes) == list(range(2000))
        assert episodes[: len(kept)] == kept
        assert not part.exists()


@pytest.mark.parametrize("kind", ["mount", "limit"])
def test_a_disk_without_any_room_is_said_before_the_run(kind: str, tmp_path: Path) -> None:
    with small_disk(kind, tmp_path) as disk:
        if kind == "limit":
            disk.limit = "ulimit -f 0; "
        else:
            filler = tmp_path / "filler"
            with pytest.raises(OSError, match="No space"):
                filler.write_bytes(b"x" * 1_000_000)
        run = collect(disk, "episodes.jsonl")
        assert (run.returncode, run.stdout) == (1, "")
        assert disk.complaint in run.stderr
        assert "Traceback" not in run.stderr
        assert [path.name for path in tmp_path.glob("episodes*")] == []
