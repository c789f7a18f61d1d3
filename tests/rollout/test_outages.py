"""A server that goes away in the middle of a collection costs time, and no episode."""

import asyncio
import logging
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from openenv.app import create_app
from openenv.errors import ConnectError
from openenv.recording import read
from openenv.rollout import collect as collecting
from openenv.rollout.collect import collect, episode_seed
from openenv.testing.chaos import cutting_proxy
from tests.docs.reader import free_port
from tests.environments import Counter
from tests.patience import within
from tests.processes import serving_process
from tests.serving import serving

OUTAGE_S = 10.0
EPISODES, TURNS, SEED = 40, 10, 3


class Switch:
    """A policy that says when the run is in its middle; every other call then waits for `gate`."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_in_the_middle = asyncio.Event()
        self.gate = asyncio.Event()

    async def __call__(self, observation: Any) -> dict[str, Any]:
        self.calls += 1
        if self.calls == EPISODES * TURNS // 2:
            self.is_in_the_middle.set()
        if self.is_in_the_middle.is_set() and self.calls % 2:
            await self.gate.wait()
        await asyncio.sleep(0)
        return {"amount": 1}


def check_whole(out: Path) -> list[int]:
    """Every episode is there once, played in one session from beginning to end; return attempts."""
    episodes = sorted(read(out), key=lambda episode: episode.episode)
    assert [episode.episode for episode in episodes] == list(range(EPISODES))
    for episode in episodes:
        seed = episode_seed(SEED, episode.episode)
        seen = [turn.observation["total"] for turn in episode.turns]
        assert seen == list(range(seed, seed + TURNS))
        assert (episode.ended, episode.final_observation) == ("max_turns", {"total": seed + TURNS})
    return [episode.attempts for episode in episodes]


def playing(url: str, policy: Any, out: Path, **options: Any) -> Any:
    return collect(
        url,
        policy,
        episodes=EPISODES,
        concurrency=8,
        max_turns=TURNS,
        seed=SEED,
        out=out,
        **options,
    )


@pytest.mark.parametrize(
    ("ending", "outage_s"), [(signal.SIGKILL, OUTAGE_S), (signal.SIGTERM, 0.0)]
)
async def test_a_server_that_is_started_again_gets_the_cut_episodes_from_their_beginning(
    ending: signal.Signals, outage_s: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, policy, port = tmp_path / "episodes.jsonl", Switch(), str(free_port())
    server = ("tests.environments:Counter", "--port", port)

    @asynccontextmanager
    async def interrupted() -> Any:
        async with serving_process(*server) as (process, url):
            run = asyncio.create_task(playing(url, policy, out))
            await policy.is_in_the_middle.wait()
            process.send_signal(ending)
            await process.wait()
        policy.gate.set()
        # How long the outage lasts is what the test is about.
        await asyncio.sleep(outage_s)
        async with serving_process(*server):
            yield run

    async with within(50), interrupted() as running:
        run = await running
    assert (run.episodes, run.failures) == (EPISODES, 0)
    attempts = check_whole(out)
    assert set(attempts) == {1, 2}
    assert attempts.count(2) <= 8
    assert [one for one in caplog.records if one.levelno > logging.WARNING] == []


async def test_a_network_that_is_gone_for_a_while_cuts_no_episode(tmp_path: Path) -> None:
    out, policy = tmp_path / "episodes.jsonl", Switch()
    Counter.steps = 0
    async with (
        within(50),
        serving(create_app(Counter)) as url,
        cutting_proxy(int(url.rsplit(":", 1)[1])) as proxy,
    ):
        run = asyncio.create_task(playing(f"http://127.0.0.1:{proxy.port}", policy, out))
        await policy.is_in_the_middle.wait()
        proxy.is_refusing = True
        proxy.cut()
        policy.gate.set()
        await asyncio.sleep(OUTAGE_S)
        proxy.is_refusing = False
        collection = await run
    assert (collection.episodes, collection.failures) == (EPISODES, 0)
    assert set(check_whole(out)) == {1}
    assert Counter.steps == EPISODES * TURNS


async def test_a_server_that_stays_away_ends_the_run_which_can_be_resumed(tmp_path: Path) -> None:
    out, policy = tmp_path / "episodes.jsonl", Switch()
    environ = {"OPENENV_GRACE_S": "0.2"}
    async with serving_process("tests.environments:Counter", environ=environ) as (process, url):
        run = asyncio.create_task(playing(url, policy, out, server_wait_s=0.3))
        await policy.is_in_the_middle.wait()
        process.kill()
        policy.gate.set()
        async with within(20):
            with pytest.raises(ConnectError):
                await run
    kept = len(list(read(f"{out}.part")))
    assert 0 < kept < EPISODES
    async with serving(create_app(Counter)) as other:
        resumed = await playing(other, policy, out, resume=True)
    assert (resumed.episodes, resumed.resumed) == (EPISODES, kept)
    check_whole(out)


async def test_an_episode_that_always_ends_the_server_fails_at_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collecting, "LOSSES", 2)
    async with (
        within(30),
        serving(create_app(Counter)) as one,
        serving(create_app(Counter)) as other,
        cutting_proxy(int(one.rsplit(":", 1)[1])) as proxy,
    ):
        ports = [int(url.rsplit(":", 1)[1]) for url in (other, one)]

        def policy(observation: Any) -> dict[str, Any]:
            if observation["total"] == episode_seed(SEED, 1) + 2:
                # As if the server had died, and another had been started in its place.
                proxy.target_port = ports[0]
                ports.reverse()
                proxy.cut()
            return {"amount": 1}

        run = await collect(
            f"http://127.0.0.1:{proxy.port}",
            policy,
            episodes=4,
            concurrency=1,
            max_turns=5,
            seed=SEED,
        )
    assert run.causes == {"CONNECTION_LOST": 1}
    assert [(one.ended, one.attempts) for one in run] == [
        ("max_turns", 1),
        ("failed", 3),
        ("max_turns", 1),
        ("max_turns", 1),
    ]
