"""Many episodes at once: each is played once, recorded once, and fails alone."""

import asyncio
import json
import math
import os
from collections import Counter as Tallies
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

import openenv
from openenv.app import create_app
from openenv.client.env import EnvClient
from openenv.environment import Environment
from openenv.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    PayloadError,
    ServerClosing,
    SessionCapacityError,
)
from openenv.models import State
from openenv.recording import read
from openenv.rollout.collect import collect, episode_seed
from openenv.rollout.collection import Collection
from openenv.server.config import ServerConfig
from openenv.server.host import make_registry
from tests.environments import Add, AsyncCounter, Counter, ThreadCounter, Total
from tests.processes import serving_process
from tests.serving import serving


@dataclass
class Move:
    to: int


@dataclass
class Seen:
    at: int
    reward: float | None = None
    done: bool = False
    truncated: bool = False


class Line(Environment[Move, Seen, State]):
    """Ends at 3, is cut off at 9, raises at -1, and remembers how it was reset."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"
    resets: ClassVar[list[tuple[int | None, str | None, int]]] = []

    def reset(self, seed: int | None = None, episode_id: str | None = None, start: int = 0) -> Seen:
        Line.resets.append((seed, episode_id, start))
        return Seen(start)

    def step(self, action: Move) -> Seen:
        if action.to == -1:
            raise ValueError("off the line")
        return Seen(action.to, 1.0, action.to == 3, action.to == 9)


class LineEnv(EnvClient[Move, Seen, State]):
    """The client of Line."""


def forward(observation: dict[str, Any]) -> dict[str, Any]:
    return {"to": observation["at"] + 1}


async def forward_async(observation: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0)
    return forward(observation)


def add_one(_: Any) -> dict[str, Any]:
    return {"amount": 1}


@pytest.fixture(autouse=True)
def _no_resets() -> None:
    Line.resets.clear()


def check_line(collection: Collection, episodes: int) -> None:
    assert (collection.episodes, collection.steps) == (episodes, 3 * episodes)
    assert (collection.failures, collection.mean_return) == (0, 3.0)
    recorded = sorted(collection, key=lambda episode: episode.episode)
    assert [episode.episode for episode in recorded] == list(range(episodes))
    for episode in recorded:
        assert [turn.observation["at"] for turn in episode.turns] == [0, 1, 2]
        assert [turn.action["to"] for turn in episode.turns] == [1, 2, 3]
        assert [turn.done for turn in episode.turns] == [False, False, True]
        assert episode.final_observation == {"at": 3}
        assert (episode.ended, episode.length, episode.return_) == ("done", 3, 3.0)


@pytest.mark.parametrize("policy", [forward, forward_async])
async def test_a_class_is_played_in_this_process(policy: Any) -> None:
    check_line(await collect(Line, policy, episodes=30, concurrency=7), 30)


async def test_a_server_is_played_by_its_url() -> None:
    async with serving(create_app(Line)) as url:
        check_line(await collect(url, forward, episodes=30, concurrency=7), 30)


async def test_a_pool_is_played_and_left_open() -> None:
    async with serving(create_app(Line)) as url, openenv.connect(url) as pool:
        check_line(await collect(pool, forward, episodes=30, concurrency=7), 30)
        check_line(await collect(pool, forward, episodes=3), 3)
        env = await pool.session()
        assert (await env.reset()).observation == {"at": 0}


@pytest.mark.parametrize("environment", [Counter, ThreadCounter, AsyncCounter])
async def test_every_kind_of_environment_is_played_and_closed(environment: type[Counter]) -> None:
    Counter.living = 0
    result = await collect(environment, add_one, episodes=20, concurrency=4, max_turns=5)
    assert (result.episodes, result.steps, result.mean_return) == (20, 100, 5.0)
    assert {episode.ended for episode in result} == {"max_turns"}
    assert Counter.living == 0


async def test_sessions_are_used_again() -> None:
    made = []

    def factory() -> Line:
        made.append(Line())
        return made[-1]

    check_line(await collect(factory, forward, episodes=20, concurrency=3), 20)
    assert len(made) == 3


async def test_more_workers_than_slots_wait_or_stay_away() -> None:
    registry = make_registry(Counter, config=ServerConfig(max_concurrent_envs=2))
    result = await collect(registry, add_one, episodes=20, concurrency=8, max_turns=2)
    assert (result.episodes, result.failures) == (20, 0)
    assert registry.active == 0


async def test_a_server_that_stays_full_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv.client.pool.SLOT_WAIT_S", 0.0)
    monkeypatch.setattr(openenv.Pool.session, "__kwdefaults__", {"wait_s": 0.0, "label": None})
    async with (
        serving(create_app(Counter, max_concurrent_envs=1)) as url,
        openenv.connect(url) as pool,
    ):
        env = await pool.session()
        with pytest.raises(SessionCapacityError):
            await collect(pool, add_one, episodes=2, max_turns=1)
        await env.close()
        assert (await collect(pool, add_one, episodes=5, max_turns=1)).episodes == 5


async def test_a_server_of_the_first_dialect_is_played_with_the_slots_it_has() -> None:
    def hidden(app: Any) -> Callable[..., Any]:
        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "subprotocols": []}, receive, send)

        return asgi

    app = create_app(Line, max_concurrent_envs=2)
    async with serving(hidden(app)) as url:
        check_line(await collect(url, forward, episodes=20, concurrency=6), 20)


# ---- seeds, options, types


async def test_each_episode_begins_with_its_seed_its_id_and_the_options() -> None:
    result = await collect(Line, forward, episodes=20, seed=5, reset_options={"start": 2})
    seeds = {episode.seed: episode for episode in result}
    assert set(seeds) == {episode_seed(5, index) for index in range(20)}
    assert Tallies(Line.resets) == Tallies(
        (episode.seed, episode.episode_id, 2) for episode in result
    )


async def test_without_a_seed_reset_gets_none() -> None:
    result = await collect(Line, forward, episodes=2)
    assert [seed for seed, _, _ in Line.resets] == [None, None]
    assert [episode.seed for episode in result] == [None, None]


def test_seeds_are_splitmix64_s_upper_bits() -> None:
    # The first outputs of the reference implementation with state 0.
    outputs = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [episode_seed(0, index) for index in range(3)] == [one >> 33 for one in outputs]
    seeds = [episode_seed(seed, index) for seed in (-1, 7, 2**70) for index in range(1000)]
    assert len(set(seeds)) == 3000
    assert min(seeds) >= 0
    assert max(seeds) < 2**31


async def test_a_client_class_types_observations_and_actions() -> None:
    def policy(observation: Seen) -> Move:
        return Move(observation.at + 1)

    [episode] = await collect(Line, policy, episodes=1, client_cls=LineEnv)
    assert episode.final_observation == Seen(3, 1.0, done=True)
    assert episode.turns[0].action == Move(1)


async def test_truncation_is_told_from_being_done() -> None:
    result = await collect(Line, lambda _: {"to": 9}, episodes=1)
    assert [(one.ended, one.length) for one in result] == [("truncated", 1)]


# ---- batched policies


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_batched_policy_gets_all_that_wait(is_async: bool) -> None:
    sizes = []

    def answer(observations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sizes.append(len(observations))
        return [forward(one) for one in observations]

    async def answer_async(observations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return answer(observations)

    policy = answer_async if is_async else answer
    check_line(
        await collect(Line, policy, episodes=32, concurrency=16, connections=1, batched=True), 32
    )
    assert sum(sizes) == 96
    assert max(sizes) == 16
    assert len(sizes) <= 24


async def test_a_policy_says_itself_that_it_is_batched() -> None:
    class Batched:
        batched = True

        def __call__(self, observations: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [forward(one) for one in observations]

    check_line(await collect(Line, Batched(), episodes=8), 8)


# ---- failures


async def test_an_episode_that_the_environment_ends_fails_alone() -> None:
    def policy(observation: dict[str, Any]) -> dict[str, Any]:
        return {"to": -1} if observation["at"] == 2 else forward(observation)

    failing = await collect(Line, policy, episodes=6, concurrency=2)
    assert (failing.episodes, failing.failures) == (6, 6)
    assert math.isnan(failing.mean_return)
    for episode in failing:
        assert (episode.ended, episode.length, episode.return_) == ("failed", 2, 2.0)
        assert episode.error is not None
        assert episode.error.code == "ENVIRONMENT_FAULT"
        assert episode.error.type == "ValueError"
        assert episode.error.message == "off the line"


@pytest.mark.parametrize(
    ("policy", "code", "kind"),
    [
        (lambda _: 1 / 0, "POLICY_FAILED", "ZeroDivisionError"),
        (lambda _: {"to": "there"}, "PAYLOAD_ERROR", "PayloadError"),
        (lambda _: {"to": object()}, "PAYLOAD_ERROR", "PayloadError"),
        (lambda _: None, "PAYLOAD_ERROR", "PayloadError"),
    ],
)
async def test_what_a_policy_does_wrong_is_recorded(policy: Any, code: str, kind: str) -> None:
    result = await collect(Line, policy, episodes=4, concurrency=2)
    assert result.causes == {code: 4}
    assert {episode.error.type for episode in result if episode.error is not None} == {kind}


@pytest.mark.parametrize("actions", [[], [{"to": 1}] * 99, None])
async def test_a_batched_policy_that_returns_nonsense_fails_its_episodes(actions: Any) -> None:
    result = await collect(Line, lambda _: actions, episodes=4, batched=True)
    assert result.causes == {"POLICY_FAILED": 4}


async def test_a_step_that_hangs_is_left_behind() -> None:
    class Hanging(AsyncCounter):
        async def step(self, action: Add) -> Total:
            if action.amount == 2:
                await asyncio.Event().wait()
            return await super().step(action)

    amounts = iter([1, 2, 1, 1, 1, 1])
    result = await collect(
        Hanging,
        lambda _: {"amount": next(amounts)},
        episodes=3,
        concurrency=1,
        max_turns=2,
        timeout_s=0.05,
    )
    assert result.causes == {"STEP_TIMEOUT": 1}
    assert [episode.ended for episode in result] == ["failed", "max_turns", "max_turns"]


async def test_an_environment_that_cannot_be_made_fails_every_episode() -> None:
    class Broken(Counter):
        def __init__(self) -> None:
            raise RuntimeError("no game here")

    result = await collect(Broken, add_one, episodes=5, concurrency=2)
    assert result.causes == {"ENVIRONMENT_FACTORY_FAILED": 5}
    assert [episode.episode for episode in result] == [0, 1, 2, 3, 4]
    assert [episode.seed for episode in result] == [None] * 5


async def test_an_environment_that_cannot_be_closed_ends_nothing() -> None:
    class Sticky(Line):
        def close(self) -> None:
            raise RuntimeError("it sticks")

    check_line(await collect(Sticky, forward, episodes=4), 4)


async def test_a_server_that_cannot_be_reached_is_said_at_once(tmp_path: Path) -> None:
    out = tmp_path / "episodes.jsonl"
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1:9"):
        await collect("http://127.0.0.1:9", forward, episodes=4, out=out)
    assert os.listdir(tmp_path) == []


async def test_a_server_that_is_killed_ends_the_run_and_keeps_what_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the server had announced that it forgets a link soon.
    monkeypatch.setattr("openenv.client.link.reconnecting.CAP_S", 0.05)
    out, steps = tmp_path / "episodes.jsonl", 0
    environ = {"OPENENV_GRACE_S": "0.3"}
    async with serving_process("tests.environments:Counter", "--port", "0", environ=environ) as (
        server,
        url,
    ):

        def policy(_: Any) -> dict[str, Any]:
            nonlocal steps
            steps += 1
            if steps == 50:
                server.kill()
            return {"amount": 1}

        with pytest.raises((ConnectionLost, ConnectError)) as caught:
            await collect(
                url,
                policy,
                episodes=1000,
                concurrency=4,
                max_turns=5,
                out=out,
                server_wait_s=0.1,
            )
    kept = list(read(f"{out}.part"))
    assert 0 < len(kept) <= 12
    assert {episode.ended for episode in kept} == {"max_turns"}
    assert caught.value.__notes__ == [
        f"Episodes that ended before: {len(kept)}, in {out}.part; resume the run to go on with them"
    ]


async def test_a_server_that_shuts_down_ends_the_run() -> None:
    registry = make_registry(Counter)

    def policy(_: Any) -> dict[str, Any]:
        registry.is_draining = True
        registry._end_all("the server is shutting down")
        return {"amount": 1}

    with pytest.raises(ServerClosing):
        await collect(registry, policy, episodes=10, concurrency=1, max_turns=5)


async def test_a_run_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "episodes.jsonl"
    asked = asyncio.Event()

    async def hang(observations: Any) -> Any:
        asked.set()
        await asyncio.Event().wait()

    async with serving(create_app(Line)) as url, openenv.connect(url) as pool:
        run = asyncio.create_task(collect(pool, hang, episodes=4, batched=True, out=out))
        await asked.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        check_line(await collect(pool, forward, episodes=3), 3)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["episodes", "concurrency", "max_turns", "timeout_s", "policy_timeout_s"]
)
async def test_numbers_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be .* not 0"):
        await collect(Line, forward, **{"episodes": 1, name: 0})


@pytest.mark.parametrize("name", ["seed", "episode_id"])
async def test_options_that_each_episode_has_of_its_own_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"reset_options holds {name}"):
        await collect(Line, forward, episodes=1, reset_options={name: 1})


# ---- recordings


async def test_a_recording_holds_what_memory_would(tmp_path: Path) -> None:
    out = tmp_path / "episodes.jsonl"
    result = await collect(Line, forward, episodes=20, concurrency=5, seed=1, out=out)
    check_line(result, 20)
    assert result.path == out
    assert result.kept == []
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["seed"] for line in lines} == {episode_seed(1, index) for index in range(20)}


async def test_what_each_turn_took_is_recorded(tmp_path: Path) -> None:
    class Slow(AsyncCounter):
        async def step(self, action: Add) -> Total:
            await asyncio.sleep(0.02 * action.amount)
            return await super().step(action)

    async def policy(_: Any) -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"amount": 2}

    out = tmp_path / "episodes.jsonl"
    await collect(Slow, policy, episodes=3, max_turns=2, out=out)
    for line in out.read_text().splitlines():
        episode = json.loads(line)
        assert 0 < episode["reset_latency_s"] < 1
        for turn in episode["turns"]:
            assert 0.039 < turn["latency_s"] < 1
            assert 0.009 < turn["policy_s"] < 1


async def test_an_observation_that_cannot_be_recorded_ends_the_run(tmp_path: Path) -> None:
    class Strange(LineEnv):
        def _parse_observation(self, data: dict[str, Any]) -> Any:
            return object()

    with pytest.raises(PayloadError, match="cannot be recorded"):
        await collect(
            Line,
            lambda _: Move(3),
            episodes=3,
            client_cls=Strange,
            out=tmp_path / "episodes.jsonl",
        )
