"""A run that was killed is gone on with: every episode that was asked for, each once."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from openenv.errors import ConfigurationError
from openenv.recording import read
from openenv.rollout.collect import collect, episode_seed
from tests.environments import Add, Counter
from tests.patience import within
from tests.processes import openenv, serving_process

DYING = """
import os, signal
turns = 0

def policy(observation):
    global turns
    turns += 1
    if turns == int(os.environ.get("DIES_AT", 331)):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"amount": 1}

def interrupted(observation):
    global turns
    turns += 1
    if turns == 331:
        os.kill(os.getpid(), signal.SIGINT)
    return {"amount": 1}

def living(observation):
    return {"amount": 1}
"""


def test_a_collection_that_is_killed_twice_still_has_every_episode_once(tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    out = tmp_path / "episodes.jsonl"
    part = tmp_path / "episodes.jsonl.part"
    common = (
        *("collect", "tests.environments:Counter", "--episodes", "200", "--seed", "7"),
        *("--max-turns", "5", "--concurrency", "16", "--out", str(out), "--resume"),
    )
    before = 0
    for _ in range(2):
        killed = openenv(*common, "--policy", "dying:policy", cwd=tmp_path)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not out.exists()
        # And in the middle of writing a line.
        with part.open("ab") as file:
            file.write(b'{"version":1,"episode":1')
        recorded = sum(1 for _ in read(part))
        assert recorded > before
        before = recorded
    ended = openenv(*common, "--policy", "dying:living", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "resumed" in ended.stdout
    episodes = list(read(out))
    assert sorted(episode.episode for episode in episodes) == list(range(200))
    assert all(one.seed == episode_seed(7, one.episode) and one.length == 5 for one in episodes)
    assert not part.exists()


@pytest.mark.parametrize("name", ["episodes.jsonl", "episodes.jsonl.zst"])
async def test_a_collection_that_is_stopped_with_ctrl_c_is_gone_on_with(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    async with serving_process("tests.environments:Counter") as (_, url):
        common = (
            *("collect", url, "--episodes", "200", "--seed", "7", "--max-turns", "5"),
            *("--concurrency", "16", "--out", name, "--resume"),
        )
        stopped = await asyncio.to_thread(
            openenv, *common, "--policy", "dying:interrupted", cwd=tmp_path
        )
        assert stopped.returncode == 130
        kept = [episode.episode for episode in read(tmp_path / f"{name}.part")]
        assert stopped.stderr.splitlines() == [
            "openenv: stopped",
            f"Episodes that ended before: {len(kept)}, in {name}.part; "
            "resume the run to go on with them",
        ]
        ended = await asyncio.to_thread(openenv, *common, "--policy", "dying:living", cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
    episodes = [episode.episode for episode in read(tmp_path / name)]
    assert episodes[: len(kept)] == kept
    assert sorted(episodes) == list(range(200))


def act(observation: Any) -> Add:
    return Add(1)


async def test_a_whole_recording_is_not_played_again_but_can_grow(tmp_path: Path) -> None:
    out = tmp_path / "episodes.jsonl"
    options: dict[str, Any] = {"max_turns": 3, "seed": 1, "out": out, "resume": True}
    first = await collect(Counter, act, episodes=10, **options)
    assert (first.episodes, first.resumed, first.steps) == (10, 0, 30)
    steps = Counter.steps
    again = await collect(Counter, act, episodes=10, **options)
    assert (again.episodes, again.resumed, again.steps) == (10, 10, 30)
    assert again.mean_return == first.mean_return
    assert again.steps_per_s == 0
    assert Counter.steps == steps
    more = await collect(Counter, act, episodes=25, **options)
    assert (more.episodes, more.resumed, Counter.steps - steps) == (25, 10, 45)
    assert sorted(episode.episode for episode in read(out)) == list(range(25))


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 2}, "seed"), ({"max_turns": 4}, "max_turns"), ({"reset_options": {}}, None)],
)
async def test_another_run_is_not_mixed_into_a_recording(
    tmp_path: Path, change: dict[str, Any], named: str | None
) -> None:
    out = tmp_path / "episodes.jsonl"
    options: dict[str, Any] = {"max_turns": 3, "seed": 1, "out": out, "resume": True}
    await collect(Counter, act, episodes=4, **options)
    recorded = out.read_bytes()
    if named is None:
        await collect(Counter, act, episodes=4, **options | change)
    else:
        with pytest.raises(ConfigurationError, match=named):
            await collect(Counter, act, episodes=4, **options | change)
    assert out.read_bytes() == recorded


async def test_a_part_without_its_manifest_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "episodes.jsonl"
    (tmp_path / "episodes.jsonl.part").write_bytes(b"something\n")
    with pytest.raises(ConfigurationError):
        await collect(Counter, act, episodes=4, out=out, resume=True)
    with pytest.raises(ConfigurationError):
        await collect(Counter, act, episodes=4, out=out, resume=True, overwrite=True)
    assert (tmp_path / "episodes.jsonl.part").read_bytes() == b"something\n"


async def test_what_was_recorded_stays_although_no_server_is_there_to_go_on_with(
    tmp_path: Path,
) -> None:
    out = tmp_path / "episodes.jsonl"
    await collect(Counter, act, episodes=4, max_turns=2, out=out, resume=True)
    with pytest.raises(ConnectionError):
        await collect("http://127.0.0.1:9", act, episodes=9, max_turns=2, out=out, resume=True)
    run = await collect(Counter, act, episodes=9, max_turns=2, out=out, resume=True)
    assert (run.episodes, run.resumed) == (9, 4)


async def test_a_run_that_is_resumed_for_fewer_episodes_still_has_each_of_them(
    tmp_path: Path,
) -> None:
    out = tmp_path / "episodes.jsonl"
    options: dict[str, Any] = {"max_turns": 2, "seed": 1, "out": out, "resume": True}
    await collect(Counter, act, episodes=10, **options)
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[number] for number in (0, 1, 7, 8, 9)))
    run = await collect(Counter, act, episodes=5, **options)
    assert (run.episodes, run.resumed) == (8, 5)
    assert sorted(episode.episode for episode in read(out)) == [0, 1, 2, 3, 4, 7, 8, 9]


class Stopped(BaseException):
    """Ends a run in the middle, as Ctrl-C does."""


async def test_a_run_that_was_to_overwrite_a_recording_and_fails_leaves_it_resumable_as_it_was(
    tmp_path: Path,
) -> None:
    out, part = tmp_path / "episodes.jsonl", tmp_path / "episodes.jsonl.part"
    options: dict[str, Any] = {"max_turns": 2, "out": out, "concurrency": 1}
    await collect(Counter, act, episodes=4, seed=1, **options)
    with pytest.raises(ConnectionError):
        await collect("http://127.0.0.1:9", act, episodes=4, seed=2, overwrite=True, **options)
    await collect(Counter, act, episodes=5, seed=1, resume=True, **options)
    turns = iter(range(5))

    def stops(observation: Any) -> Add:
        if next(turns, None) is None:
            raise Stopped
        return Add(1)

    with pytest.raises(Stopped):
        await collect(Counter, stops, episodes=4, seed=2, overwrite=True, **options)
    aside = out.rename(tmp_path / "aside.jsonl")
    resumed = await collect(Counter, act, episodes=4, seed=2, resume=True, **options)
    assert (resumed.episodes, resumed.resumed) == (4, 2)
    assert [episode.seed for episode in read(out)] == [episode_seed(2, i) for i in range(4)]
    assert not part.exists()
    assert len(list(read(aside))) == 5


async def test_the_recording_that_a_failed_run_was_to_overwrite_keeps_its_own_manifest(
    tmp_path: Path,
) -> None:
    out, part = tmp_path / "episodes.jsonl", tmp_path / "episodes.jsonl.part"
    options: dict[str, Any] = {"max_turns": 2, "out": out, "concurrency": 1}
    await collect(Counter, act, episodes=2, seed=1, **options)
    turns = iter(range(3))

    def stops(observation: Any) -> Add:
        if next(turns, None) is None:
            raise Stopped
        return Add(1)

    with pytest.raises(Stopped):
        await collect(Counter, stops, episodes=2, seed=2, overwrite=True, **options)
    part.unlink()
    with pytest.raises(ConfigurationError, match="seed was 1 and is 2"):
        await collect(Counter, act, episodes=4, seed=2, resume=True, **options)
    run = await collect(Counter, act, episodes=4, seed=1, resume=True, **options)
    assert (run.episodes, run.resumed) == (4, 2)


async def test_options_that_cannot_be_kept_leave_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "episodes.jsonl"
    with pytest.raises(ConfigurationError, match="object is unsupported"):
        await collect(Counter, act, episodes=1, out=out, reset_options={"level": object()})
    assert os.listdir(tmp_path) == []


async def test_two_runs_do_not_write_one_recording(tmp_path: Path) -> None:
    out = tmp_path / "episodes.jsonl"
    options: dict[str, Any] = {"episodes": 4, "max_turns": 2, "seed": 1, "out": out}
    policy_runs, may_go_on = asyncio.Event(), asyncio.Event()

    async def waits(observation: Any) -> Add:
        policy_runs.set()
        await may_go_on.wait()
        return Add(1)

    async with within(10):
        first = asyncio.create_task(collect(Counter, waits, resume=True, **options))
        await policy_runs.wait()
        for manner in ("resume", "overwrite"):
            with pytest.raises(ConfigurationError, match="another run"):
                await collect(Counter, act, **options, **{manner: True})
        may_go_on.set()
        await first
    assert sorted(episode.episode for episode in read(out)) == list(range(4))
