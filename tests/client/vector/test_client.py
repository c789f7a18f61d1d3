"""Vectors: misuse loses nothing, a session's failure is its own, every result arrives once."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from openenv.app import create_app
from openenv.client.env import EnvClient
from openenv.client.pool import Pool, connect
from openenv.client.vector.client import AutoresetMode, VectorClient
from openenv.client.vector.sync import SyncVectorClient
from openenv.environment import Environment
from openenv.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    EnvironmentFault,
    LocalProtocolError,
    NotReset,
    PayloadError,
    SessionCapacityError,
    SessionExpired,
    StepTimeout,
)
from openenv.models import State
from openenv.rollout.source import in_process
from openenv.server.config import ServerConfig
from tests.environments import Sleeper
from tests.patience import patient, within
from tests.serving import serving, serving_elsewhere

MODES = list(AutoresetMode)
RAISE, END, CUT, WORD, DIE = -1, -2, -3, -4, -5


@dataclass
class Go:
    by: int


@dataclass
class At:
    place: int | str
    reward: float | None = None
    done: bool = False
    truncated: bool = False


class Track(Environment[Go, At, State]):
    """Goes by what it is told; begins at its seed; fails and ends as it is told."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"
    living: ClassVar[int] = 0
    fails_at: ClassVar[int | None] = None
    "The seed that cannot be begun with."

    def __init__(self) -> None:
        self.place = 0
        Track.living += 1

    def reset(self, seed: int | None = None, start: int = 0) -> At:
        if seed is not None and seed == Track.fails_at:
            raise ValueError("no such start")
        self.place = start + (seed or 0)
        return At(self.place)

    def step(self, go: Go) -> At:
        if go.by == RAISE:
            raise ValueError("off the track")
        if go.by in (WORD, DIE):
            return At("lost", 0.0, go.by == DIE)
        if go.by < 0:
            return At(self.place, 5.0, go.by == END, go.by == CUT)
        self.place += go.by
        return At(self.place, float(go.by))

    def close(self) -> None:
        Track.living -= 1


class TrackEnv(EnvClient[Go, At, State]):
    """The client of Track."""


@pytest.fixture(autouse=True)
def _fresh_track() -> None:
    Track.living, Track.fails_at = 0, None


@asynccontextmanager
async def track(count: int = 4, **options: Any) -> AsyncIterator[VectorClient]:
    async with (
        within(20),
        in_process(Track, connections=2) as pool,
        pool.vector(count, TrackEnv, **options) as vector,
    ):
        yield vector


@asynccontextmanager
async def served_track(count: int = 4, **options: Any) -> AsyncIterator[tuple[Any, VectorClient]]:
    app = create_app(Track)
    async with (
        within(20),
        serving(app) as url,
        connect(url) as pool,
        pool.vector(count, TrackEnv, **options) as vector,
    ):
        yield app.state.registry, vector


# ---- all at once


async def test_reset_and_step_return_arrays_with_a_row_for_each_session() -> None:
    async with track() as vector:
        observations, infos = await vector.reset(seed=10)
        assert observations.tolist() == [10, 11, 12, 13]
        assert infos == {}
        observations, rewards, terminations, truncations, infos = await vector.step([1, 2, 3, 4])
        assert observations.tolist() == [11, 13, 15, 17]
        assert (rewards.dtype, rewards.tolist()) == (np.float64, [1, 2, 3, 4])
        assert terminations.dtype == truncations.dtype == np.bool_
        assert not terminations.any()
        assert not truncations.any()
        assert infos == {}


async def test_seeds_may_be_a_list_and_options_go_to_the_environments() -> None:
    async with track() as vector:
        options = {"start": 100}
        observations, _ = await vector.reset(seed=[5, None, np.int64(7), 8], options=options)
        assert observations.tolist() == [105, 100, 107, 108]
        assert options == {"start": 100}
        with pytest.raises(ConfigurationError):
            await vector.reset(seed=[1, 2])


async def test_a_reset_mask_resets_only_where_it_is_true() -> None:
    async with track() as vector:
        mask = np.array([True, False, True, False])
        with pytest.raises(NotReset):
            await vector.reset(options={"reset_mask": mask})
        await vector.reset(seed=10)
        options = {"reset_mask": mask, "start": 50}
        observations, _ = await vector.reset(seed=0, options=options)
        assert observations.tolist() == [50, 11, 52, 13]
        assert set(options) == {"reset_mask", "start"}


async def test_where_the_step_mask_is_false_nothing_happens() -> None:
    async with track() as vector:
        await vector.reset(seed=10)
        mask = np.array([False, True, True, False])
        observations, rewards, *_ = await vector.step([1, 2, 3, 4], mask=mask)
        assert observations.tolist() == [10, 13, 15, 13]
        assert rewards.tolist() == [0, 2, 3, 0]
        observations, rewards, *_ = await vector.step([1] * 4, mask=np.zeros(4, bool))
        assert observations.tolist() == [10, 13, 15, 13]
        assert rewards.tolist() == [0] * 4


async def test_a_session_that_is_over_stays_so_while_the_mask_is_false() -> None:
    async with track(2) as vector:
        await vector.reset(seed=10)
        assert (await vector.step([END, 1]))[2].tolist() == [True, False]
        step = await vector.step([1, 1], mask=[False, True])
        assert step[0].tolist() == [10, 13]
        assert step[2].tolist() == [False, False]
        assert (await vector.step([7, 1]))[0].tolist() == [0, 14]


async def test_what_is_returned_is_the_callers_to_change() -> None:
    async with track(2) as vector:
        first, _ = await vector.reset(seed=10)
        first[:] = 99
        observations, *_ = await vector.step([1, 1], mask=[True, False])
        assert observations.tolist() == [11, 11]


@pytest.mark.parametrize("mode", [*MODES, "NextStep", "SameStep", "Disabled"])
async def test_modes_are_taken_as_enum_and_as_value(mode: Any) -> None:
    async with in_process(Track) as pool:
        vector = pool.vector(1, TrackEnv, autoreset_mode=mode)
        assert vector.autoreset_mode is AutoresetMode(mode)
        assert vector.metadata == {"autoreset_mode": vector.autoreset_mode}


@pytest.mark.parametrize("options", [{"autoreset_mode": "Never"}, {"autoreset_mode": None}])
async def test_an_unknown_mode_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="'NextStep', 'SameStep', 'Disabled'"):
        Pool("http://127.0.0.1:9").vector(1, **options)


async def test_without_autoreset_an_episode_that_is_over_must_be_reset() -> None:
    async with track(2, autoreset_mode="Disabled") as vector:
        await vector.reset(seed=10)
        *_, truncations, _ = await vector.step([1, CUT])
        assert truncations.tolist() == [False, True]
        with pytest.raises(LocalProtocolError, match=r"\[1\]"):
            await vector.step([1, 1])
        await vector.reset(options={"reset_mask": truncations})
        assert (await vector.step([1, 1]))[0].tolist() == [12, 1]


# ---- whoever is ready first


async def test_sends_and_receives_need_not_be_of_the_same_size() -> None:
    async with track() as vector:
        await vector.async_reset(seed=10)
        observations, _, _, _, infos = await vector.recv(4)
        assert dict(zip(infos["env_id"].tolist(), observations.tolist(), strict=True)) == {
            index: 10 + index for index in range(4)
        }
        await vector.send([1, 1], [3, 0])
        await vector.send(np.array([2]), np.array([1]))
        assert vector.in_flight == [0, 1, 3]
        first = await vector.recv(1)
        rest = await vector.recv()
        received = [*first[4]["env_id"], *rest[4]["env_id"]]
        assert sorted(received) == [0, 1, 3]
        places = dict(zip(received, [*first[0], *rest[0]], strict=True))
        assert places == {0: 11, 1: 13, 3: 14}
        assert vector.in_flight == []


@pytest.mark.parametrize("mode", MODES)
async def test_results_that_came_together_are_received_one_by_one(mode: AutoresetMode) -> None:
    async with (
        in_process(Track, connections=1) as pool,
        pool.vector(4, TrackEnv, autoreset_mode=mode) as vector,
    ):
        await vector.reset(seed=10)
        await vector.send([1, 2, END, 4])
        received = {}
        for _ in range(4):
            observations, rewards, terminations, _, infos = await vector.recv(1)
            [index] = infos["env_id"]
            received[index] = (observations.item(), rewards.item(), terminations.item())
        after_end = 0 if mode is AutoresetMode.SAME_STEP else 12
        assert received == {
            0: (11, 1, False),
            1: (13, 2, False),
            2: (after_end, 5, True),
            3: (17, 4, False),
        }


class Gated(Environment[Go, At, State]):
    """Steps when its gate is opened, each session's on its own."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    gates: ClassVar[dict[int, threading.Semaphore]]

    def reset(self, seed: int | None = None) -> At:
        self.gate = Gated.gates.setdefault(seed or 0, threading.Semaphore(0))
        return At(seed or 0)

    def step(self, go: Go) -> At:
        assert self.gate.acquire(timeout=patient(20))
        return At(go.by)


@asynccontextmanager
async def gated(count: int) -> AsyncIterator[VectorClient]:
    Gated.gates = {}
    async with (
        within(20),
        in_process(Gated, connections=2) as pool,
        pool.vector(count, TrackEnv) as vector,
    ):
        await vector.reset(seed=0)
        try:
            yield vector
        finally:
            for gate in Gated.gates.values():
                gate.release(100)


async def test_results_are_received_in_the_order_in_which_they_became_ready() -> None:
    async with gated(4) as vector:
        await vector.send([0, 1, 2, 3])
        for index in (2, 0, 3, 1):
            Gated.gates[index].release()
            observations, *_, infos = await vector.recv(1)
            assert infos["env_id"].tolist() == observations.tolist() == [index]


async def test_a_step_that_was_cancelled_can_still_be_received() -> None:
    async with gated(3) as vector:
        step = asyncio.create_task(vector.step([7, 8, 9]))
        while len(vector.in_flight) < 3:
            await asyncio.sleep(0)
        Gated.gates[1].release()
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        for index in (0, 2):
            Gated.gates[index].release()
        observations, *_, infos = await vector.recv()
        received = dict(zip(infos["env_id"].tolist(), observations.tolist(), strict=True))
        assert received == {0: 7, 1: 8, 2: 9}


async def test_misuse_is_refused_and_loses_nothing() -> None:
    async with gated(3) as vector:
        with pytest.raises(LocalProtocolError, match="send first"):
            await vector.recv()
        await vector.send([1, 2], [0, 1])
        with pytest.raises(LocalProtocolError, match=r"\[1\]"):
            await vector.send([5, 5], [2, 1])
        assert vector.in_flight == [0, 1]
        for call in (
            lambda: vector.step([1, 2, 3]),
            lambda: vector.reset(),
            lambda: vector.async_reset(),
            lambda: vector.recv(3),
            lambda: vector.recv(0),
        ):
            with pytest.raises(LocalProtocolError):
                await call()
        receiving = asyncio.create_task(vector.recv(2))
        await asyncio.sleep(0)
        with pytest.raises(LocalProtocolError, match="another task"):
            await vector.recv(1)
        for index in (0, 1):
            Gated.gates[index].release()
        observations, *_, infos = await receiving
        assert sorted(zip(infos["env_id"], observations, strict=True)) == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("actions", "env_ids"),
    [
        ([1, 2], None),
        ([1, 2, 3, 4], None),
        ([], []),
        ([1], [3]),
        ([1], [-1]),
        ([1, 1], [0, 0]),
        ([1, 1], [0]),
        ([1], [0.0]),
        ([[1]], [[0]]),
        (np.int64(1), [0]),
        ("123", None),
        ({"by": 1}, None),
    ],
)
async def test_actions_that_are_not_one_for_each_session_are_refused(
    actions: Any, env_ids: Any
) -> None:
    async with track(3) as vector:
        await vector.reset(seed=10)
        with pytest.raises(ConfigurationError):
            await vector.send(actions, env_ids)
        assert vector.in_flight == []
        assert (await vector.step([1, 1, 1]))[0].tolist() == [11, 12, 13]


@pytest.mark.parametrize("mask", [[1, 0], [True], [[True, False]], "no", np.array([1.0, 0.0])])
async def test_a_mask_that_is_none_is_refused(mask: Any) -> None:
    async with track(2) as vector:
        await vector.reset()
        with pytest.raises(ConfigurationError):
            await vector.step([1, 1], mask=mask)
        with pytest.raises(ConfigurationError):
            await vector.reset(options={"reset_mask": mask})


async def test_steps_before_the_first_reset_are_refused() -> None:
    async with track(2) as vector:
        for call in (vector.step, vector.send):
            with pytest.raises(NotReset):
                await call([1, 1])
        with pytest.raises(LocalProtocolError):
            await vector.recv()
    with pytest.raises(NotReset):
        await vector.step([1, 1])


# ---- failures


@pytest.mark.parametrize("mode", ["NextStep", "Disabled"])
async def test_a_fault_truncates_its_own_episode_only(mode: str) -> None:
    async with track(autoreset_mode=mode) as vector:
        await vector.reset(seed=10)
        observations, rewards, terminations, truncations, infos = await vector.step(
            [1, RAISE, 1, 1]
        )
        assert observations.tolist() == [11, 11, 13, 14]
        assert rewards.tolist() == [1, 0, 1, 1]
        assert not terminations.any()
        assert (
            truncations.tolist() == infos["_session_error"].tolist() == [False, True, False, False]
        )
        assert isinstance(infos["session_error"][1], EnvironmentFault)
        assert infos["session_error"][0] is None
        if mode == "Disabled":
            await vector.reset(seed=10, options={"reset_mask": truncations})
            expected = [12, 12, 14, 15]
        else:
            expected = [12, 0, 14, 15]
        observations, rewards, _, truncations, infos = await vector.step([1] * 4)
        assert observations.tolist() == expected
        assert not truncations.any()
        assert infos == {}


async def test_with_autoreset_in_the_same_step_a_failed_session_has_begun_anew() -> None:
    async with track(2, autoreset_mode="SameStep") as vector:
        await vector.reset(seed=10)
        observations, rewards, _, truncations, infos = await vector.step([1, RAISE])
        assert (observations.tolist(), rewards.tolist()) == ([11, 0], [1, 0])
        assert truncations.tolist() == [False, True]
        assert isinstance(infos["session_error"][1], EnvironmentFault)
        assert infos["final_obs"].tolist() == [None, 11]
        assert infos["_final_info"].tolist() == [False, True]
        assert (await vector.step([1, 1]))[0].tolist() == [12, 1]


async def test_an_error_is_raised_when_there_is_nothing_else_and_names_its_sessions() -> None:
    async with track(3) as vector:
        await vector.reset(seed=10)
        with pytest.raises(EnvironmentFault) as raised:
            await vector.step([RAISE] * 3)
        assert raised.value.env_ids == (0, 1, 2)
        assert (await vector.step([1, 1, 1]))[0].tolist() == [0, 0, 0]
        await vector.send([RAISE, 1], [2, 0])
        received = [await _received(vector) for _ in range(2)]
        assert sorted(received) == [(0, 1), (2, "ENVIRONMENT_FAULT")]
        await vector.send([1], [2])
        assert await _received(vector) == (2, 0)


async def _received(vector: VectorClient) -> tuple[int, Any]:
    """The session and what it saw, or why it failed."""
    try:
        observations, *_, infos = await vector.recv(1)
    except EnvironmentFault as error:
        return error.env_ids[0], error.code
    return infos["env_id"].item(), observations.item()


async def test_actions_that_do_not_fit_are_told_apart_from_those_that_do() -> None:
    async with track(3) as vector:
        await vector.reset(seed=10)
        step = await vector.step([Go(1), {"by": "far"}, {"by": 2}])
        assert step[0].tolist() == [11, 11, 14]
        assert isinstance(step[4]["session_error"][1], PayloadError)
        with pytest.raises(PayloadError):
            await vector.step(np.array([0.5, 0.5, 0.5]), mask=[True, False, True])


async def test_an_observation_that_cannot_be_stacked_with_the_others_is_an_error() -> None:
    async with track(3) as vector:
        await vector.reset(seed=10)
        observations, _, _, truncations, infos = await vector.step([1, 1, WORD])
        assert observations.tolist() == [11, 12, 12]
        assert truncations.tolist() == [False, False, True]
        assert isinstance(infos["session_error"][2], PayloadError)
        assert "stack=False" in str(infos["session_error"][2])
        assert (await vector.step([1, 1, 1]))[0].tolist() == [12, 13, 0]


async def test_a_last_observation_that_cannot_be_stacked_is_an_error_too() -> None:
    async with track(2, autoreset_mode="SameStep") as vector:
        await vector.reset(seed=10)
        await vector.step([1, 1])
        step = await vector.step([1, END])
        assert step[4]["final_obs"].tolist() == [None, 12]
        assert step[0].tolist() == [12, 0]
        step = await vector.step([1, DIE])
        assert isinstance(step[4]["session_error"][1], PayloadError)
        assert step[4]["final_obs"].tolist() == [None, 0]
        assert step[2].tolist() == [False, True]
        assert step[0].tolist() == [13, 0]


@dataclass
class Numbered:
    place: int
    reward: float = 0.0


class NumberedEnv(EnvClient[Go, Numbered, State]):
    """A client of Track that does not know words."""


async def test_an_observation_that_cannot_be_decoded_is_an_error() -> None:
    async with in_process(Track) as pool, pool.vector(3, NumberedEnv) as vector:
        await vector.reset(seed=10)
        observations, *_, truncations, infos = await vector.step([1, WORD, 1])
        assert observations.tolist() == [11, 11, 13]
        assert truncations.tolist() == [False, True, False]
        assert infos["session_error"][1].path == ".place"
        with pytest.raises(PayloadError):
            await vector.step([WORD, 0, WORD], mask=[True, False, True])


async def test_a_session_that_cannot_be_begun_is_tried_again_with_the_next_step() -> None:
    Track.fails_at = 11
    async with track(3) as vector:
        observations, infos = await vector.reset(seed=10)
        assert observations.tolist() == [10, 0, 12]
        assert infos["_session_error"].tolist() == [False, True, False]
        observations, rewards, _, truncations, infos = await vector.step([1, 1, 1])
        assert observations.tolist() == [11, 0, 13]
        assert rewards.tolist() == [1, 0, 1]
        assert not truncations.any()
        with pytest.raises(EnvironmentFault):
            await vector.reset(seed=[11, 11, 11])


@pytest.mark.parametrize(("mode", "lost", "next_one"), [("NextStep", 12, 0), ("SameStep", 0, 1)])
async def test_a_session_that_the_server_has_ended_is_opened_again(
    mode: str, lost: int, next_one: int
) -> None:
    async with served_track(autoreset_mode=mode) as (registry, vector):
        await vector.reset(seed=10)
        registry.sessions[vector._clients[2].session_token].end("for the test")
        observations, _, _, truncations, infos = await vector.step([1] * 4)
        assert observations.tolist() == [11, 12, lost, 14]
        assert truncations.tolist() == [False, False, True, False]
        assert isinstance(infos["session_error"][2], SessionExpired)
        observations, *_, infos = await vector.step([1] * 4)
        assert observations.tolist() == [12, 13, next_one, 15]
        assert infos == {}
        assert registry.active == 4


async def test_a_session_that_is_known_to_have_ended_is_told_apart_too() -> None:
    async with served_track() as (registry, vector):
        await vector.reset(seed=10)
        session = vector._clients[1]._session
        registry.sessions[session.token].end("for the test")
        while session.is_open:
            await asyncio.sleep(0)
        observations, *_, infos = await vector.step([1] * 4)
        assert observations.tolist() == [11, 11, 13, 14]
        assert isinstance(infos["session_error"][1], SessionExpired)
        assert (await vector.step([1] * 4))[0].tolist() == [12, 0, 14, 15]


async def test_a_session_that_has_no_slot_any_more_is_an_error_until_there_is_one() -> None:
    app = create_app(Track, max_concurrent_envs=2)
    async with (
        within(20),
        serving(app) as url,
        connect(url) as pool,
        pool.vector(2, TrackEnv) as vector,
    ):
        await vector.reset(seed=10)
        app.state.registry.sessions[vector._clients[1].session_token].end("for the test")
        other = await pool.session(TrackEnv)
        for expected in (SessionExpired, SessionCapacityError):
            *_, infos = await vector.step([1, 1])
            assert isinstance(infos["session_error"][1], expected)
        await other.close()
        observations, *_, infos = await vector.step([1, 1])
        assert (observations.tolist(), infos) == ([13, 0], {})


async def test_a_step_that_hangs_is_over_at_its_deadline() -> None:
    Sleeper.release = threading.Event()
    async with (
        within(20),
        in_process(Sleeper) as pool,
        pool.vector(2, stack=False) as vector,
    ):
        await vector.reset()
        try:
            actions = [{"hang": True}, {}]
            observations, *_, infos = await vector.step(actions, timeout_s=0.2)
            assert observations == [{"ready": True}, {"slept": True}]
            assert isinstance(infos["session_error"][0], StepTimeout)
            observations, *_, infos = await vector.step([{}, {}], timeout_s=5.0)
            assert observations == [{"ready": True}, {"slept": True}]
            assert infos == {}
        finally:
            Sleeper.release.set()


async def test_a_server_that_is_gone_is_raised() -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(within(20))
        server = await stack.enter_async_context(AsyncExitStack())
        app = create_app(Track, config=ServerConfig(grace_s=0.3))
        url = await server.enter_async_context(serving(app))
        pool = await stack.enter_async_context(connect(url, connect_timeout_s=0.5))
        vector = await stack.enter_async_context(pool.vector(3, TrackEnv))
        await vector.reset(seed=10)
        await server.aclose()
        with pytest.raises((ConnectionLost, SessionExpired)) as raised:
            await vector.step([1, 1, 1])
        assert raised.value.env_ids == (0, 1, 2)
        with pytest.raises(ConnectError):
            await vector.step([1, 1, 1])


# ---- life


async def test_closing_ends_every_session_and_reset_opens_new_ones() -> None:
    async with served_track() as (registry, vector):
        await vector.reset()
        assert (registry.active, Track.living) == (4, 4)
        await vector.close()
        assert (registry.active, Track.living) == (0, 0)
        with pytest.raises(NotReset):
            await vector.step([1] * 4)
        observations, _ = await vector.reset(seed=3)
        assert observations.tolist() == [3, 4, 5, 6]
        assert registry.active == 4


async def test_closing_does_not_wait_for_what_nobody_will_receive() -> None:
    async with gated(2) as vector:
        await vector.send([1, 1])
        closing = asyncio.create_task(vector.close())
        while not all(client._session._number is None for client in vector._clients):
            await asyncio.sleep(0)
        for gate in Gated.gates.values():
            gate.release()
        await closing
        assert vector.in_flight == []


async def test_whoever_waits_for_results_learns_that_the_vector_was_closed() -> None:
    async with gated(2) as vector:
        waiting = asyncio.create_task(vector.step([1, 1]))
        while len(vector.in_flight) < 2:
            await asyncio.sleep(0)
        for gate in Gated.gates.values():
            gate.release()
        await vector.close()
        with pytest.raises(LocalProtocolError, match="closed"):
            await waiting


async def test_hundreds_of_sessions_keep_their_rows() -> None:
    async with track(600, autoreset_mode="SameStep") as vector:
        await vector.reset(seed=0)
        rng = np.random.default_rng(0)
        places = np.arange(600)
        for _ in range(10):
            by = rng.integers(1, 100, 600)
            ends = rng.random(600) < 0.05
            observations, rewards, terminations, *_ = await vector.step(np.where(ends, END, by))
            assert (rewards == np.where(ends, 5, by)).all()
            assert (terminations == ends).all()
            places = np.where(ends, 0, places + by)
            assert (observations == places).all()


async def test_too_few_slots_are_an_error_that_leaves_none_taken() -> None:
    app = create_app(Track, max_concurrent_envs=3)
    async with within(20), serving(app) as url, connect(url) as pool:
        vector = pool.vector(4, TrackEnv)
        with pytest.raises(SessionCapacityError):
            await vector.reset()
        assert (app.state.registry.active, Track.living) == (0, 0)
        assert (await pool.vector(3, TrackEnv).reset(seed=1))[0].tolist() == [1, 2, 3]


async def test_a_vector_of_a_pool_that_nobody_has_opened_opens_and_closes_it() -> None:
    async with within(20), serving(create_app(Track)) as url:
        pool = connect(url)
        async with pool.vector(2, TrackEnv) as vector:
            assert pool.is_open
            assert (await vector.reset(seed=1))[0].tolist() == [1, 2]
        assert not pool.is_open
        with pytest.raises(ConnectError):
            await connect("http://127.0.0.1:9").vector(2, TrackEnv).reset()


async def test_a_vector_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Pool("http://127.0.0.1:9").vector(0)


# ---- the blocking form


def test_the_blocking_form_does_the_same_without_an_event_loop() -> None:
    with (
        serving_elsewhere(create_app(Track)) as url,
        connect(url).vector(3, TrackEnv, autoreset_mode="SameStep").sync() as vector,
    ):
        assert vector.num_envs == 3
        assert vector.metadata == {"autoreset_mode": vector.autoreset_mode}
        assert vector.reset(seed=1)[0].tolist() == [1, 2, 3]
        assert vector.step([1, 1, 1], mask=[True, False, True])[0].tolist() == [2, 2, 4]
        vector.send([1], [1])
        assert vector.in_flight == [1]
        assert vector.recv(1)[4]["env_id"].tolist() == [1]
        vector.async_reset()
        assert vector.recv()[0].tolist() == [0, 0, 0]


def public(cls: type) -> dict[str, Any]:
    found = {name: one for name, one in inspect.getmembers(cls) if not name.startswith("_")}
    return found | dict.fromkeys(("num_envs", "autoreset_mode"))


def test_both_forms_have_the_same_methods() -> None:
    ours, blocking = public(VectorClient), public(SyncVectorClient)
    assert ours.keys() - {"sync"} == blocking.keys() - {"async_client"}
    for name in ("connect", "close", "reset", "step", "async_reset", "send", "recv"):
        assert str(inspect.signature(ours[name])) == str(inspect.signature(blocking[name]))
        assert not inspect.iscoroutinefunction(blocking[name])
