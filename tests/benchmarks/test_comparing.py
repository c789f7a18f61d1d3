import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.comparing import CHECKOUT, RevisionError, changes, checked_out, markdown
from benchmarks.measuring import Sample

SAMPLE = Sample(
    row="before, multiplexed",
    sessions=64,
    round=0,
    steps_per_s=100.0,
    p50_us=1.0,
    p99_us=2.0,
    server_cpu_us=3.0,
    client_cpu_us=4.0,
    timed_steps=100,
    disturbance=0.0,
    opens_per_s=10.0,
    kib_per_session=0.5,
    server_threads=3,
)


def _neighbours(number: int, before: float, after: float) -> list[Sample]:
    return [
        replace(SAMPLE, round=number, steps_per_s=before),
        replace(SAMPLE, row="after, multiplexed", round=number, steps_per_s=after),
    ]


def _worktrees() -> str:
    return subprocess.run(
        ["git", "worktree", "list"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout


def test_a_ratio_is_the_median_of_windows_that_were_neighbours() -> None:
    # The machine was ten times slower in the second round: for both sides alike.
    samples = [*_neighbours(0, 100, 90), *_neighbours(1, 10, 11), *_neighbours(2, 100, 95)]
    (change,) = changes(samples)
    assert (change.row, change.sessions) == ("multiplexed", 64)
    assert change.ratio == pytest.approx(0.95)
    assert (change.before.steps_per_s, change.after.steps_per_s) == (100, 90)


def test_the_table_has_a_line_per_row_and_number_of_sessions() -> None:
    few = _neighbours(0, 100, 50)
    many = [replace(sample, sessions=1024) for sample in _neighbours(0, 2000, 3000)]
    lines = markdown(changes(many + few)).splitlines()
    assert [line.split(" | ")[:5] for line in lines[2:]] == [
        ["| 64", "multiplexed", "100", "50", "50 %"],
        ["| 1,024", "multiplexed", "2,000", "3,000", "150 %"],
    ]


def test_a_revision_lies_in_a_folder_of_its_own_until_the_end() -> None:
    with checked_out("HEAD") as tree:
        assert tree != CHECKOUT
        assert (tree / "openenv" / "__init__.py").is_file()
        assert str(tree) in _worktrees()
    assert not tree.parent.exists()
    assert str(tree) not in _worktrees()


def test_what_is_no_revision_is_refused() -> None:
    with pytest.raises(RevisionError, match="no-such-revision"), checked_out("no-such-revision"):
        pass


def test_a_revision_without_openenv_is_refused_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path))
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "Empty"], check=True)
    monkeypatch.setattr("benchmarks.comparing.CHECKOUT", tmp_path)
    with pytest.raises(RevisionError, match="does not import"), checked_out("HEAD"):
        pass
    worktrees = subprocess.run([*git, "worktree", "list"], capture_output=True, check=True).stdout
    assert len(worktrees.splitlines()) == 1
