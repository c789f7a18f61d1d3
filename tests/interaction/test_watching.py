"""Spectators: what they see of others' sessions, and that they do nothing to them."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import openenv
from openenv.client.watch import Summary, WatchEvent
from openenv.environment import Environment
from openenv.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    EnvironmentFault,
    PayloadError,
    TooManyRequests,
    Unsupported,
)
from openenv.models import State
from openenv.recording.format import read
from openenv.rollout.collect import collect
from openenv.server.config import ServerConfig
from tests.environments import Add, AsyncCounter, Counter, ThreadCounter
from tests.interaction.spectating import Spectator, dialed, spectator
from tests.interaction.worlds import WEBSOCKET, World, world
from tests.patience import patient, within

WATCHED = ServerConfig(watch=True)
IN_PROCESS = ServerConfig(watch=True, workers=1)


@asynccontextmanager
async def watched(environment: Any, config: ServerConfig = WATCHED) -> AsyncIterator[World]:
    async with world("websocket", environment, config=config) as one, within(20):
        yield one


class Watcher:
    """`openenv.watch`, with the newest of each session kept."""

    def __init__(self, events: AsyncIterator[WatchEvent]) -> None:
        self._events = events
        self.sessions: dict[str, Summary] = {}
        self.ended: list[str] = []

    async def read(self) -> None:
        event = await anext(self._events)
        self.sessions.update({summary.session: summary for summary in event.sessions})
        self.ended += event.ended

    async def until(self, **fields: Any) -> Summary:
        while True:
            for summary in self.sessions.values():
                if all(getattr(summary, name) == value for name, value in fields.items()):
                    return summary
            await self.read()


@asynccontextmanager
async def watcher(one: World, **options: Any) -> AsyncIterator[Watcher]:
    async with aclosing(openenv.watch(one.url, **options)) as events:  # type: ignore[type-var]
        them = Watcher(events)
        await them.read()
        yield them


def name_of(env: Any) -> str:
    return hashlib.sha256(env._session.token.encode()).hexdigest()[:12]


async def nobody_watches(one: World) -> None:
    """Wait until the server knows that all spectators have gone."""
    assert one.registry.spectators is not None
    while one.registry.spectators.is_ticking:
        await asyncio.sleep(0.001)


# ---------------------------------------------------------------- what is seen


async def test_a_spectator_sees_a_session_step_and_end() -> None:
    async with watched(Counter) as one, spectator(one) as them:
        assert await them.read() == [["event", 1, [], []]]
        env = await one.client(label="train/7")
        await env.reset(episode_id="first")
        await env.step({"amount": 3})
        await env.step({"amount": 4})
        seen = await them.until(step=2)
        assert seen.pop("age_s") >= 0
        seen.pop("steps_per_s", None)
        assert seen == {
            "session": name_of(env),
            "environment": "Counter",
            "label": "train/7",
            "episode_id": "first",
            "episode": 1,
            "step": 2,
            "reward": 4.0,
            "total_reward": 7.0,
            "action": {"amount": 4},
            "observation": {"total": 7},
        }
        await env.reset()
        seen = await them.until(episode=2)
        assert "total_reward" not in seen
        assert "action" not in seen
        await env.close()
        while not them.ended:
            await them.read()
        assert them.ended == [name_of(env)]


@pytest.mark.parametrize(
    ("environment", "config"),
    [(Counter, WATCHED), (ThreadCounter, WATCHED), (AsyncCounter, WATCHED), (Counter, IN_PROCESS)],
    ids=["inline", "thread", "await", "process"],
)
async def test_whoever_plays_is_seen_by_spectators_of_either_encoding(
    environment: Any, config: ServerConfig
) -> None:
    async with (
        watched(environment, config) as one,
        spectator(one) as in_json,
        watcher(one) as in_msgpack,
        AsyncExitStack() as stack,
    ):
        transports = [name for name in (*WEBSOCKET, "http") if name != "memory"]
        for amount, transport in enumerate(transports, 1):
            connection = World(transport, one.registry, one.url).connection()
            stack.push_async_callback(connection.aclose)
            env = await one.client(connection=connection)
            await env.reset()
            await env.step({"amount": amount})
            seen = await in_json.until(total_reward=float(amount))
            assert (seen["action"], seen["observation"]) == ({"amount": amount}, {"total": amount})
            summary = await in_msgpack.until(total_reward=float(amount))
            assert (summary.action, summary.observation) == ({"amount": amount}, {"total": amount})
        assert len(in_json.sessions) == len(transports)


@pytest.mark.parametrize("environment", [ThreadCounter, AsyncCounter])
async def test_who_comes_later_sees_what_there_is(environment: Any) -> None:
    async with watched(environment) as one:
        env = await one.client()
        await env.reset()
        await env.step({"amount": 5})
        async with watcher(one) as them:
            assert them.sessions[name_of(env)].observation == {"total": 5}
            assert them.sessions[name_of(env)].total_reward == 5.0


async def test_who_comes_later_sees_what_follows_in_an_inline_environment() -> None:
    async with watched(Counter) as one:
        env = await one.client()
        await env.reset()
        async with watcher(one) as them:
            assert them.sessions[name_of(env)].observation == {"total": 0}
        await env.step({"amount": 5})
        async with watcher(one) as them:
            seen = them.sessions[name_of(env)]
            assert (seen.episode, seen.step) == (1, 1)
            assert (seen.observation, seen.total_reward) == (None, None)
            await env.step({"amount": 1})
            seen = await them.until(step=2)
            assert (seen.observation, seen.total_reward) == ({"total": 6}, None)
            await env.reset()
            await env.step({"amount": 2})
            assert (await them.until(episode=2, step=1)).total_reward == 2.0
        await nobody_watches(one)
        async with watcher(one) as them:
            # Nothing was missed in between.
            assert them.sessions[name_of(env)].observation == {"total": 2}


async def test_steps_in_columns_are_seen() -> None:
    async with watched(Counter) as one, spectator(one) as them, one.pool() as pool:
        envs = await pool.sessions(3, label="columns")
        await pool.reset_many(envs)
        await pool.step_many(envs, [{"amount": amount} for amount in (1, 2, 3)])
        await pool.step_many(envs, [{"amount": amount} for amount in (10, 20, 30)])
        for amount, env in zip((1, 2, 3), envs, strict=True):
            seen = await them.until(session=name_of(env), step=2)
            assert seen["action"] == {"amount": 10 * amount}
            assert seen["observation"] == {"total": 11 * amount}
            assert (seen["reward"], seen["total_reward"]) == (10.0 * amount, 11.0 * amount)


class Generous(Environment[Add, dict[str, Any], State]):
    """Its reward is no number when the amount is negative."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self) -> dict[str, Any]:
        return {}

    def step(self, action: Add) -> dict[str, Any]:
        return {"amount": action.amount, "reward": "much" if action.amount < 0 else 2.0}


async def test_a_step_in_columns_that_is_no_result_is_seen_without_one() -> None:
    async with watched(Generous) as one, spectator(one) as them, one.pool() as pool:
        # Two on each connection.
        envs = await pool.sessions(4)
        await pool.reset_many(envs)
        actions = [{"amount": amount} for amount in (-1, 1, -1, 1)]
        outcomes = await pool.step_many(envs, actions, return_exceptions=True)
        assert isinstance(outcomes[0], EnvironmentFault)
        seen = await them.until(session=name_of(envs[0]), step=1)
        assert not {"observation", "reward", "total_reward"} & seen.keys()
        seen = await them.until(session=name_of(envs[1]), step=1)
        assert (seen["observation"], seen["total_reward"]) == ({"amount": 1}, 2.0)


class Excessive(Generous):
    """Its rewards are no numbers that can be summed."""

    def step(self, action: Add) -> dict[str, Any]:
        return {"amount": action.amount, "reward": 10**400 if action.amount else np.ones(2)}


async def test_a_reward_that_cannot_be_summed_is_the_players_affair() -> None:
    async with watched(Excessive) as one, spectator(one) as them, one.pool() as pool:
        envs = await pool.sessions(4)
        await pool.reset_many(envs)
        for step, amount in enumerate((1, 0), 1):
            with pytest.raises((PayloadError, EnvironmentFault)) as alone:
                await envs[0].step({"amount": amount})
            outcomes = await pool.step_many(
                envs[1:], [{"amount": amount}] * 3, return_exceptions=True
            )
            assert [type(outcome) for outcome in outcomes] == [alone.type] * 3
            for env in envs[1:]:
                await them.until(session=name_of(env), step=step, total_reward="NaN")


class Undecided(Generous):
    """Whether its episodes are over cannot be told."""

    def step(self, action: Add) -> dict[str, Any]:
        return {"amount": action.amount, "done": np.ones(2)}


async def test_columns_that_cannot_be_taken_apart_fail_singly() -> None:
    async with watched(Undecided) as one, spectator(one) as them, one.pool() as pool:
        envs = await pool.sessions(3)
        await pool.reset_many(envs)
        outcomes = await pool.step_many(envs, [{"amount": 1}] * 3, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [EnvironmentFault] * 3
        seen = await them.until(session=name_of(envs[0]), step=1)
        assert "observation" not in seen


async def test_names_of_any_length_are_shown_cut_off() -> None:
    async with watched(Counter) as one, spectator(one, "l" * 1000) as them, one.pool() as pool:
        env = await pool.session(label="l" * 1000)
        await env.reset(episode_id="e" * 100_000)
        seen = await them.until(session=name_of(env), episode=1)
        assert (seen["label"], seen["episode_id"]) == ("l" * 256, "e" * 256)


class Pixels(Environment[dict[str, Any], dict[str, Any], State]):
    """Its observations have arrays, and what no encoding knows if the action asks for that."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self) -> dict[str, Any]:
        return {"image": np.arange(6, dtype=np.uint8).reshape(2, 3)}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        reward = action.get("reward", 1.0)
        if action.get("size"):
            return {"image": np.zeros(action["size"], np.uint8), "reward": reward}
        return {"thing": object() if action.get("odd") else 1, "reward": reward}


async def test_arrays_are_converted_to_the_spectators_encoding() -> None:
    async with watched(Pixels) as one, spectator(one) as in_json, watcher(one) as in_msgpack:
        env = await one.client()
        await env.reset()
        image = (await in_json.until(episode=1))["observation"]["image"]
        assert image == {"__array__": "AAECAwQF", "dtype": "|u1", "shape": [2, 3]}
        observation = (await in_msgpack.until(episode=1)).observation
        assert observation["image"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert observation["image"].dtype == np.uint8


async def test_what_cannot_be_encoded_is_left_out() -> None:
    async with watched(Pixels) as one, spectator(one) as them:
        env = await one.client()
        await env.reset()
        with pytest.raises(openenv.PayloadError):
            await env.step({"odd": True})
        seen = await them.until(step=1)
        assert seen["action"] == {"odd": True}
        assert "observation" not in seen


async def test_rewards_that_are_no_finite_numbers_are_seen_as_such() -> None:
    async with watched(Pixels) as one, watcher(one) as them, spectator(one) as in_json:
        env = await one.client()
        await env.reset()
        await env.step({"reward": float("inf")})
        assert (await them.until(step=1)).total_reward == float("inf")
        assert (await in_json.until(step=1))["reward"] == "Infinity"


async def test_an_observation_that_is_too_large_for_the_spectator_is_left_out() -> None:
    hello = ["hello", 1, None, 0, 65536]
    async with watched(Pixels) as one, spectator(one, hello=hello) as them:
        env = await one.client()
        await env.reset()
        await env.step({"size": 100_000})
        seen = await them.until(step=1)
        assert "observation" not in seen
        await env.step({"size": 1000})
        assert "observation" in await them.until(step=2)


async def test_without_observations_only_the_counts_are_sent() -> None:
    async with watched(Counter) as one, spectator(one, None, None, False) as them:
        env = await one.client()
        await env.reset()
        await env.step({"amount": 2})
        seen = await them.until(step=1)
        assert seen["total_reward"] == 2.0
        assert not {"action", "observation", "metadata"} & seen.keys()


class Gated(Environment[dict[str, Any], dict[str, Any], State]):
    """Shows parts of its observation, and the rest when its gate is open: a named pipe."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self) -> dict[str, Any]:
        return {"text": ""}

    def step(self, action: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"text": "Hel"}
        yield {"text": "Hello"}
        Path(action["gate"]).read_text()
        yield {"text": "Hello!"}


class GatedInProcess(Gated):
    execution = "process"


class GatedAsync(Gated):
    async def step(self, action: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:  # type: ignore[override]
        values = super().step(action)
        yield next(values)
        yield next(values)
        yield await asyncio.to_thread(next, values)


@pytest.mark.parametrize("environment", [GatedAsync, Gated, GatedInProcess])
async def test_partial_observations_are_seen_as_they_come(environment: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with watched(environment) as one, spectator(one) as them:
        env = await one.client()
        await env.reset()

        async def stream() -> list[str]:
            return [result.observation["text"] async for result in env.stream({"gate": str(gate)})]

        step = asyncio.create_task(stream())
        seen = await them.until(observation={"text": "Hel"})
        assert "step" not in seen
        assert "action" not in seen
        await asyncio.to_thread(gate.write_text, "open")
        seen = await them.until(observation={"text": "Hello!"})
        assert (seen["step"], seen["action"]) == (1, {"gate": str(gate)})
        assert await step == ["Hel", "Hello", "Hello!"]


class Scribbler(Environment[dict[str, Any], dict[str, Any], State]):
    """Returns the same object each time, and changes it while its thread runs."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    gate: ClassVar[threading.Event]
    is_scribbling: ClassVar[threading.Event]

    def __init__(self) -> None:
        self.board: dict[str, Any] = {}

    def reset(self) -> dict[str, Any]:
        self.board["move"] = 0
        return self.board

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        self.board["move"] = "half way"
        self.is_scribbling.set()
        self.gate.wait(patient(10))
        self.board["move"] = action["move"]
        return self.board


async def test_what_a_thread_is_changing_is_not_shown() -> None:
    async with watched(Scribbler) as one:
        env = await one.client()
        gate = Scribbler.gate = threading.Event()
        scribbling = Scribbler.is_scribbling = threading.Event()
        await env.reset()
        step = asyncio.create_task(env.step({"move": 1}))
        await asyncio.to_thread(scribbling.wait, patient(10))
        async with spectator(one) as them:
            seen = await them.until(episode=1)
            assert "observation" not in seen
            gate.set()
            assert (await them.until(step=1))["observation"] == {"move": 1}
            await step
            # From now on a busy session shows what it was at rest.
            gate.clear()
            scribbling.clear()
            step = asyncio.create_task(env.step({"move": 2}))
            await asyncio.to_thread(scribbling.wait, patient(10))
            async with spectator(one) as late:
                assert (await late.until(episode=1))["observation"] == {"move": 1}
            gate.set()
            assert (await them.until(step=2))["observation"] == {"move": 2}
            await step


# ---------------------------------------------------------------- which sessions


async def test_a_label_means_those_below_it_too() -> None:
    async with watched(Counter) as one:
        for label in ("train", "train/7", "training", None):
            env = await one.client(label=label)
            await env.reset()
        async with watcher(one, label="train") as them:
            assert {one.label for one in them.sessions.values()} == {"train", "train/7"}
        async with watcher(one, label="train/7") as them:
            assert {one.label for one in them.sessions.values()} == {"train/7"}


async def test_sessions_are_chosen_by_their_public_names() -> None:
    async with watched(Counter) as one:
        envs = [await one.client() for _ in range(3)]
        for env in envs:
            await env.reset()
        async with watcher(one, sessions=[name_of(envs[1]), "none"]) as them:
            assert set(them.sessions) == {name_of(envs[1])}
            await envs[0].step({"amount": 1})
            await envs[1].step({"amount": 1})
            await them.until(step=1)
            assert set(them.sessions) == {name_of(envs[1])}


async def test_the_episodes_of_collect_can_be_told_apart(tmp_path: Any) -> None:
    async with watched(Counter) as one, watcher(one, label="collect/run") as them:
        are_seen = asyncio.Event()

        async def policy(_: Any) -> dict[str, int]:
            await are_seen.wait()
            return {"amount": 1}

        path = tmp_path / "run.jsonl.zst"
        playing = collect(
            one.url, policy, episodes=4, concurrency=2, max_turns=3, out=path, progress=False
        )
        run = asyncio.create_task(playing)
        while None in (seen := [summary.episode_id for summary in them.sessions.values()]) or (
            len(seen) < 2
        ):
            await them.read()
        assert {summary.label for summary in them.sessions.values()} == {"collect/run"}
        are_seen.set()
        episodes = (await run).episodes
        assert episodes == 4
        recorded = [episode.episode_id for episode in read(path)]
        assert len(recorded) == 4
        assert set(seen) <= set(recorded)


# ---------------------------------------------------------------- what spectators may not do


async def test_a_server_that_was_not_told_to_shows_nothing() -> None:
    async with watched(Counter, ServerConfig()) as one:
        with pytest.raises(Unsupported, match="--watch"):
            async with watcher(one):
                pass
        async with dialed(one, ["hello", 1]) as (socket, hello):
            assert "watch" not in hello[9]
            them = Spectator(socket)
            await them.send(["watch", 1], ["unwatch", 2, 1])
            replies = await them.read()
            assert [reply[:3] for reply in replies] == [
                ["error", 1, "UNSUPPORTED"],
                ["error", 2, "UNSUPPORTED"],
            ]
            assert "OPENENV_WATCH" in replies[0][3]


async def test_a_public_name_gives_no_right_to_act() -> None:
    async with watched(Counter) as one, spectator(one) as them:
        env = await one.client()
        await env.reset()
        name = (await them.until(episode=1))["session"]
        await them.send(["open", 2, 1, 0, None, name])
        while (replies := await them.read())[0][0] == "event":
            pass
        assert replies[0][:3] == ["error", 2, "SESSION_NOT_FOUND"]
        assert env._session.token not in str(them.sessions)


async def test_spectators_take_no_slot() -> None:
    config = ServerConfig(watch=True, max_concurrent_envs=1)
    async with watched(Counter, config) as one, watcher(one), watcher(one):
        env = await one.client()
        await env.reset()
        assert one.registry.active == 1


async def test_a_link_has_a_bounded_number_of_watches() -> None:
    async with watched(Counter) as one, dialed(one, ["hello", 1]) as (socket, _):
        them = Spectator(socket)
        await them.send(*[["watch", number] for number in range(1, 10)])
        replies: list[Any] = []
        while len(replies) < 9:
            replies += await them.read()
        assert [reply[:2] for reply in replies[:8]] == [["event", number] for number in range(1, 9)]
        assert replies[8][:3] == ["error", 9, TooManyRequests.code]
        await them.send(["unwatch", 10, 3], ["watch", 11], ["unwatch", 12, 1], ["watch", 11])
        replies = await them.read()
        assert [reply[:2] for reply in replies[:3]] == [["event", 10], ["event", 11], ["event", 12]]
        assert replies[3][:3] == ["error", 11, "PROTOCOL_ERROR"]


@pytest.mark.parametrize("field", [["x"], [None, [1]], [None, None, 1], [None, None, True, 0]])
async def test_a_watch_that_makes_no_sense_is_refused(field: list[Any]) -> None:
    async with watched(Counter) as one, dialed(one, ["hello", 1]) as (socket, _):
        them = Spectator(socket)
        frame = ["watch", 1, *field] if field != ["x"] else ["unwatch", 1]
        await them.send(frame)
        assert (await them.read())[0][:3] == ["error", 1, "PROTOCOL_ERROR"]


async def test_frames_per_s_must_be_a_number_above_zero() -> None:
    with pytest.raises(ConfigurationError, match="frames_per_s"):
        await anext(aiter(openenv.watch("http://127.0.0.1:1", frames_per_s=0)))
    with pytest.raises(ConnectError):
        await anext(aiter(openenv.watch("http://127.0.0.1:1")))


# ---------------------------------------------------------------- when they come and go


async def test_after_unwatch_nothing_more_comes() -> None:
    async with watched(Counter) as one, spectator(one) as them, watcher(one) as other:
        env = await one.client()
        await env.reset()
        await them.until(episode=1)
        await them.send(["unwatch", 2, 1])
        while (await them.read())[-1] != ["event", 2, [], []]:
            pass
        events = them.events
        await env.step({"amount": 1})
        await other.until(step=1)
        await them.send(["unwatch", 3, 1])
        assert await them.read() == [["event", 3, [], []]]
        assert them.events == events + 1


async def test_nothing_ticks_when_nobody_watches() -> None:
    async with watched(Counter) as one:
        spectators = one.registry.spectators
        assert spectators is not None
        assert not spectators.is_ticking
        async with watcher(one), watcher(one):
            assert spectators.is_ticking
        await nobody_watches(one)
        env = await one.client()
        await env.reset()
        await env.step({"amount": 1})
        assert one.registry.sessions[env._session.token].watched_view is None
        assert not spectators.changed


async def test_a_slow_spectator_is_passed_over_and_then_gets_the_newest() -> None:
    async with watched(Counter) as one, spectator(one) as slow, watcher(one) as other:
        assert await slow.read() == [["event", 1, [], []]]
        slow.acknowledges = False
        env = await one.client()
        await env.reset()
        await slow.until(episode=1)
        for step in range(1, 8):
            await env.step({"amount": 1})
            await slow.until(step=step)
        for _ in range(5):
            step += 1
            await env.step({"amount": 1})
            await other.until(step=step)
        events = slow.events
        slow.acknowledges = True
        await slow.send()
        await slow.read()
        [seen] = slow.sessions.values()
        assert (slow.events, seen["step"]) == (events + 1, step)


async def test_a_resumed_link_goes_on_watching_with_the_newest() -> None:
    async with watched(Counter) as one, watcher(one) as other:
        env = await one.client()
        async with dialed(one, ["hello", 1]) as (socket, hello):
            them = Spectator(socket)
            await them.send(["watch", 1])
            await env.reset()
            await them.until(episode=1)
            socket.transport.abort()
        link = one.registry.links[hello[2]]
        while link.is_live:
            await asyncio.sleep(0.001)
        for step in range(1, 20):
            await env.step({"amount": 1})
            if not step % 5:
                await other.until(step=step)
        again = ["hello", 1, hello[2], them.received]
        async with dialed(one, again) as (socket, hello):
            assert hello[3] is True
            resumed = Spectator(socket, them.received)
            await resumed.read()
            [seen] = resumed.sessions.values()
            assert seen["step"] == 19


async def test_an_end_that_was_missed_is_told_after_resuming() -> None:
    async with watched(Counter) as one:
        env = await one.client()
        await env.reset()
        name = name_of(env)
        async with dialed(one, ["hello", 1]) as (socket, hello):
            them = Spectator(socket)
            await them.send(["watch", 1])
            await them.until(episode=1)
            socket.transport.abort()
        link = one.registry.links[hello[2]]
        while link.is_live:
            await asyncio.sleep(0.001)
        await env.close()
        async with dialed(one, ["hello", 1, hello[2], them.received]) as (socket, _):
            resumed = Spectator(socket, them.received)
            while not resumed.ended:
                await resumed.read()
            assert resumed.ended == [name]


async def test_who_is_slow_in_python_gets_the_newest_too() -> None:
    async with watched(Counter) as one, watcher(one) as slow, watcher(one) as other:
        gone, env = await one.client(), await one.client()
        await gone.reset()
        await env.reset()
        for step in range(1, 6):
            await env.step(Add(1).__dict__)
            await other.until(session=name_of(env), step=step)
        name = name_of(gone)
        await gone.close()
        while not other.ended:
            await other.read()
        seen = await slow.until(step=5)
        assert seen.session == name_of(env)
        while not slow.ended:
            await slow.read()
        assert slow.ended == [name]


async def test_a_server_that_is_gone_for_good_ends_the_watching() -> None:
    async with watched(Counter, ServerConfig(watch=True, grace_s=0.1)) as one:
        events = openenv.watch(one.url)
        await anext(aiter(events))
    with pytest.raises(ConnectionLost):
        await anext(aiter(events))


async def test_a_rate_that_falls_to_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv.server.watching.spectators.RATE_S", 0.1)
    async with watched(Counter) as one, spectator(one) as them:
        env = await one.client()
        await env.reset()
        while not any(seen.get("steps_per_s") for seen in them.sessions.values()):
            await env.step({"amount": 1})
            await them.read()
        seen = await them.until(steps_per_s=None)
        assert seen["step"] >= 1
