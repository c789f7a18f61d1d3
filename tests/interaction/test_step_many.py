"""Steps of many sessions in one frame: each is what it would have been alone."""

import asyncio
import random
import threading
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from openenv.app import create_app
from openenv.client.env import EnvClient
from openenv.client.link.requests import BatchSink, Requests
from openenv.client.pool import Pool, connect
from openenv.environment import Environment
from openenv.errors import EnvironmentFault, NotReset, PayloadError, RequestTimeout, SessionExpired
from openenv.models import State
from openenv.protocol.frames import Results
from openenv.testing.chaos import cutting_proxy
from tests.environments import Add, AsyncCounter, Counter, Sleeper, ThreadCounter, Total
from tests.patience import within
from tests.serving import serving


class CounterEnv(EnvClient[Add, Total, State]):
    pass


class HookedEnv(EnvClient[Add, Total, State]):
    """A client that writes and reads payloads itself."""

    def _step_payload(self, action: Add) -> dict[str, Any]:
        return {"amount": action.amount * 10}

    def _parse_observation(self, data: dict[str, Any]) -> Total:
        return Total(-data["total"])


@pytest.fixture(autouse=True)
def _release() -> None:
    Sleeper.release = threading.Event()


@pytest.fixture
def results_frames(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The ids in each results frame that a client has read."""
    seen: list[list[int]] = []
    take = Requests._receive_columns

    def listen(self: Requests, frame: Results) -> None:
        seen.append(frame.ids)
        take(self, frame)

    monkeypatch.setattr(Requests, "_receive_columns", listen)
    return seen


async def begun(pool: Pool, cls: Any, count: int) -> list[Any]:
    envs = [await pool.session(cls) for _ in range(count)]
    await pool.reset_many(envs, seeds=[100 * index for index in range(count)])
    return envs


@pytest.mark.parametrize("environment", [Counter, ThreadCounter, AsyncCounter])
@pytest.mark.parametrize("connections", [1, 3])
async def test_each_session_gets_its_own_action_wherever_it_runs(
    environment: type, connections: int
) -> None:
    async with serving(create_app(environment)) as url, connect(url, connections) as pool:
        envs = await begun(pool, CounterEnv, 9)
        actions = [Add(amount) for amount in range(9)]
        for turn in range(1, 4):
            results = await pool.step_many(envs, actions)
            totals = [result.observation.total for result in results]
            assert totals == [100 * index + turn * index for index in range(9)]
            assert [result.reward for result in results] == [float(index) for index in range(9)]
            assert [result.observation.reward for result in results] == list(range(9))
        assert {(await env.state()).step_count for env in envs} == {3}


async def test_inline_sessions_are_answered_in_one_frame(results_frames: list[list[int]]) -> None:
    async with serving(create_app(Counter)) as url, connect(url, 1) as pool:
        envs = await begun(pool, CounterEnv, 5)
        await pool.step_many(envs, [Add()] * 5)
        assert [len(ids) for ids in results_frames] == [5]


async def test_a_session_may_be_stepped_twice_in_one_call() -> None:
    async with serving(create_app(Counter)) as url, connect(url, 1) as pool:
        envs = await begun(pool, CounterEnv, 2)
        results = await pool.step_many([envs[1], envs[0], envs[1]], [Add(1), Add(2), Add(3)])
        assert [result.observation.total for result in results] == [101, 2, 104]


async def test_clients_of_several_classes_each_read_and_write_in_their_own_way() -> None:
    async with serving(create_app(Counter)) as url, connect(url, 1) as pool:
        typed, hooked, generic = (
            await begun(pool, CounterEnv, 1)
            + await begun(pool, HookedEnv, 1)
            + await begun(pool, None, 1)
        )
        results = await pool.step_many([typed, hooked, generic], [Add(1), Add(2), {"amount": 3}])
        assert results[0].observation == Total(1, reward=1.0)
        assert results[1].observation.total == -20
        assert results[2].observation["total"] == 3
        alone = await pool.step_many([hooked, hooked], [Add(1), Add(1)])
        assert [result.observation.total for result in alone] == [-30, -40]


# ---------------------------------------------------------------- failures of single rows


class Moody(Environment[dict[str, Any], dict[str, Any], State]):
    """Does what the action says."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self) -> dict[str, Any]:
        return {"ready": True}

    def step(self, action: dict[str, Any]) -> Any:
        if action.get("raise"):
            raise ValueError("in a bad mood")
        if action.get("exit"):
            raise SystemExit(3)
        return {"reward": "high"} if action.get("lie") else {"fine": True, **action}


@dataclass
class Mood:
    word: str = ""


class Typed(Environment[Mood, Mood, State]):
    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self) -> Mood:
        return Mood()

    def step(self, action: Mood) -> Any:
        if action.word == "raise":
            raise ValueError("in a bad mood")
        return {"none": "of these"} if action.word == "lie" else Mood(action.word)


@pytest.mark.parametrize(
    ("environment", "actions", "fine"),
    [
        (Typed, [{"word": "a"}, {"word": "raise"}, {"word": "lie"}, {"word": "b"}], {"word": "b"}),
        (Moody, [{"n": 1}, {"raise": 1}, {"lie": 1}, {"n": 2}], {"fine": True, "n": 2}),
        (Moody, [{"n": 1}, {"exit": 1}, {"lie": 1}, {"n": 2}], {"fine": True, "n": 2}),
    ],
)
async def test_a_row_that_fails_fails_alone(
    environment: type, actions: list[Any], fine: Any
) -> None:
    async with serving(create_app(environment)) as url, connect(url, 1) as pool:
        envs = await begun_without_seeds(pool, 4)
        results = await pool.step_many(envs, actions, return_exceptions=True)
        assert [type(one) is EnvironmentFault for one in results] == [False, True, True, False]
        assert results[3].observation == fine
        again = await pool.step_many(envs, [actions[3]] * 4)
        assert [result.observation for result in again] == [fine] * 4


async def begun_without_seeds(pool: Pool, count: int) -> list[Any]:
    envs = [await pool.session() for _ in range(count)]
    await pool.reset_many(envs)
    return envs


async def test_a_payload_that_does_not_fit_names_its_field_and_runs_nothing_else_twice() -> None:
    async with serving(create_app(Counter)) as url, connect(url, 1) as pool:
        Counter.steps = 0
        envs = await begun(pool, None, 3)
        actions: list[Any] = [{"amount": 1}, {"amount": "one"}, {"amount": 3}]
        results = await pool.step_many(envs, actions, return_exceptions=True)
        assert isinstance(results[1], PayloadError)
        assert results[1].path == ".amount"
        assert [results[0].observation["total"], results[2].observation["total"]] == [1, 203]
        assert Counter.steps == 2


async def test_an_action_that_cannot_be_encoded_fails_alone() -> None:
    async with serving(create_app(Counter)) as url, connect(url, 1) as pool:
        envs = await begun(pool, None, 3)
        results = await pool.step_many(
            envs, [{"amount": 1}, {"amount": object()}, {"amount": 3}], return_exceptions=True
        )
        assert isinstance(results[1], PayloadError)
        assert [results[0].observation["total"], results[2].observation["total"]] == [1, 203]


async def test_nothing_is_sent_if_one_of_the_sessions_was_not_reset() -> None:
    async with serving(create_app(Counter)) as url, connect(url, 2) as pool:
        Counter.steps = 0
        envs = [*await begun(pool, CounterEnv, 3), await pool.session(CounterEnv)]
        with pytest.raises(NotReset):
            await pool.step_many(envs, [Add()] * 4)
        await envs[3].reset()
        assert [r.observation.total for r in await pool.step_many(envs, [Add()] * 4)][3] == 1
        assert Counter.steps == 4


async def test_a_session_that_has_ended_meanwhile_fails_alone() -> None:
    app = create_app(Counter)
    async with serving(app) as url, connect(url, 1) as pool:
        envs = await begun(pool, CounterEnv, 3)
        app.state.registry.find(envs[1].session_token).end("for the test")
        results = await pool.step_many(envs, [Add()] * 3, return_exceptions=True)
        assert isinstance(results[1], SessionExpired)
        assert [results[0].observation.total, results[2].observation.total] == [1, 201]


async def test_a_step_that_takes_too_long_leaves_the_others_their_results() -> None:
    async with serving(create_app(Sleeper)) as url, connect(url, 1) as pool:
        Sleeper.release.clear()
        envs = await begun_without_seeds(pool, 3)
        actions = [{}, {"hang": True}, {}]
        results = await pool.step_many(envs, actions, timeout_s=0.2, return_exceptions=True)
        Sleeper.release.set()
        assert [type(one).__name__ for one in results] == [
            "StepResult",
            "StepTimeout",
            "StepResult",
        ]


async def test_a_cancelled_call_gives_every_row_up_and_leaves_the_pool_usable() -> None:
    async with serving(create_app(Sleeper)) as url, connect(url, 1) as pool:
        Sleeper.release.clear()
        envs = await begun_without_seeds(pool, 2)
        waiting = asyncio.create_task(pool.step_many(envs, [{"hang": True}, {}]))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        Sleeper.release.set()
        with pytest.raises(NotReset):
            await pool.step_many(envs, [{}, {}])
        await pool.reset_many(envs)
        assert len(await pool.step_many(envs, [{}, {}])) == 2


# ---------------------------------------------------------------- sizes and lost sockets


@dataclass
class Frame:
    pixels: np.ndarray
    metadata: dict[str, Any] = field(default_factory=dict)


class Painter(Environment[Mood, Frame, State]):
    """Observations that are larger than what shares a message."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"
    made: ClassVar[int] = 0

    def reset(self) -> Frame:
        return Frame(np.zeros((3, 4), np.uint8))

    def step(self, action: Mood) -> Frame:
        Painter.made += 1
        return Frame(np.full((200, 300), len(action.word), np.uint8), {"n": len(action.word)})


class PainterEnv(EnvClient[Mood, Frame, State]):
    pass


async def test_large_observations_arrive_whole_and_in_place() -> None:
    async with serving(create_app(Painter)) as url, connect(url, 1) as pool:
        envs = [await pool.session(PainterEnv) for _ in range(8)]
        await pool.reset_many(envs)
        results = await pool.step_many(envs, [Mood("x" * size) for size in range(8)])
        for size, result in enumerate(results):
            assert result.observation.pixels.shape == (200, 300)
            assert (result.observation.pixels == size).all()
            assert result.metadata == {"n": size}


async def test_a_reply_that_is_too_large_is_refused_alone() -> None:
    async with (
        serving(create_app(Painter)) as url,
        Pool(url, 1, max_message_size_mb=0.05) as pool,
    ):
        Painter.made = 0
        envs = [await pool.session(PainterEnv) for _ in range(2)]
        await pool.reset_many(envs)
        results = await pool.step_many(envs, [Mood("a"), Mood("b")], return_exceptions=True)
        assert [one.code for one in results] == ["PAYLOAD_TOO_LARGE"] * 2
        assert Painter.made == 2


async def test_rows_run_exactly_once_while_sockets_are_cut_anywhere() -> None:
    random_bytes = random.Random(5)

    def budget() -> tuple[int, int]:
        return random_bytes.randint(900, 4000), random_bytes.randint(700, 4000)

    Counter.steps = 0
    async with (
        serving(create_app(Counter)) as url,
        cutting_proxy(int(url.rsplit(":", 1)[1]), budget) as proxy,
        connect(f"http://127.0.0.1:{proxy.port}", connections=1) as pool,
        within(50),
    ):
        envs = await begun(pool, CounterEnv, 6)
        expected = [100 * index for index in range(6)]
        for amount in range(1, 101):
            results = await pool.step_many(envs, [Add(amount + index) for index in range(6)])
            expected = [total + amount + index for index, total in enumerate(expected)]
            assert [result.observation.total for result in results] == expected
        assert Counter.steps == 600
        assert proxy.cuts >= 5


# ---------------------------------------------------------------- other peers


async def test_a_server_that_takes_no_columns_gets_steps_one_by_one(
    monkeypatch: pytest.MonkeyPatch, results_frames: list[list[int]]
) -> None:
    monkeypatch.setattr("openenv.protocol.server.STEPS", "something else")
    async with serving(create_app(Counter)) as url, connect(url, 1) as pool:
        envs = await begun(pool, CounterEnv, 3)
        results = await pool.step_many(envs, [Add(5)] * 3)
        assert [result.observation.total for result in results] == [5, 105, 205]
        assert results_frames == []


async def test_replies_for_rows_that_were_given_up_are_dropped() -> None:
    loop, pushed = asyncio.get_running_loop(), []
    requests = Requests(
        loop, pushed.append, lambda frame: [Single(i) for i in frame.ids], lambda offer: None
    )
    batch = BatchSink(2)
    batch.ids = [1, 2]
    requests.send([5, 6], ["frame"], 0.01, batch)
    asked = asyncio.ensure_future(requests.finish(batch))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(asked), 0)
    assert await asked is batch
    assert [batch.replies[i].code for i in (1, 2)] == [RequestTimeout.code] * 2
    # Too late: nobody waits for these any more, and nobody is disturbed by them.
    requests.receive([Results([1, 2], msgspec.Raw(b""), [1, 2], [False] * 2, [False] * 2)])
    assert batch.columns == []
    requests.stop()


@dataclass
class Single:
    id: int
