"""What observations, actions and infos of many sessions become, decided once for a vector."""

import subprocess
import sys
import types
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pydantic
import pytest
from numpy.typing import NDArray

from openenv.app import create_app
from openenv.client.env import EnvClient
from openenv.client.link.dialing import dial
from openenv.client.pool import Pool, connect
from openenv.client.vector.client import VectorClient
from openenv.client.vector.infos import add_info, add_object
from openenv.environment import Environment
from openenv.errors import ConfigurationError, PayloadError
from openenv.models import Action, State
from openenv.protocol.frames import MAX_MESSAGE_BYTES, SUBPROTOCOL_JSON
from openenv.rollout.source import in_process
from tests.environments import Add, Counter, Total
from tests.gymnasium_environment import CartPole, CartPoleEnv
from tests.patience import within
from tests.serving import serving


class SessionView(Environment[dict[str, Any], Any, State]):
    """Shows what `show(seed, step)` makes."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"
    show: Callable[[int, int], Any]

    def reset(self, seed: int | None = None) -> Any:
        self.seed, self.steps = seed or 0, 0
        return type(self).show(self.seed, 0)

    def step(self, action: dict[str, Any]) -> Any:
        self.steps += 1
        return type(self).show(self.seed, self.steps)


@asynccontextmanager
async def showing(
    show: Callable[[int, int], Any], count: int = 3, client_cls: Any = None, **options: Any
) -> AsyncIterator[VectorClient]:
    environment = type("Shown", (SessionView,), {"show": staticmethod(show)})
    async with (
        within(10),
        in_process(environment) as pool,
        pool.vector(count, client_cls, **options) as vector,
    ):
        yield vector


@dataclass
class Place:
    x: float
    y: list[int]


@dataclass
class Scene:
    place: Place
    pixels: NDArray[np.uint8]
    reward: float = 0.0
    done: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


class SceneEnv(EnvClient[dict[str, Any], Scene, State]):
    """Types what `scene` shows."""


def scene(seed: int, step: int) -> Scene:
    return Scene(Place(seed, [step, seed]), np.full((2, 2), seed + step, np.uint8), float(step))


def as_dict(seed: int, step: int) -> dict[str, Any]:
    shown = scene(seed, step)
    return {"place": vars(shown.place), "pixels": shown.pixels, "reward": shown.reward}


STACKED = {
    "a number": (lambda seed, step: {"at": seed + step}, np.array([1, 2, 3])),
    "a boolean": (lambda seed, step: {"at": seed == 1}, np.array([False, True, False])),
    "a list": (lambda seed, step: {"at": [seed, 0.5]}, np.array([[0, 0.5], [1, 0.5], [2, 0.5]])),
    "nested lists": (
        lambda seed, step: {"at": [[seed], [step]]},
        np.array([[[0], [1]], [[1], [1]], [[2], [1]]]),
    ),
    "an array": (
        lambda seed, step: {"at": np.array([seed, step], np.float32)},
        np.array([[0, 1], [1, 1], [2, 1]], np.float32),
    ),
    "booleans": (
        lambda seed, step: {"at": np.array([seed == 1])},
        np.array([[False], [True], [False]]),
    ),
    "an array of no dimension": (
        lambda seed, step: {"at": np.array(seed, np.int16)},
        np.array([0, 1, 2], np.int16),
    ),
    "an array alone": (
        lambda seed, step: np.array([seed], np.int8),
        np.array([[0], [1], [2]], np.int8),
    ),
    "a large array": (
        lambda seed, step: {"at": np.full(30_000, seed, np.uint8)},
        np.repeat(np.arange(3, dtype=np.uint8), 30_000).reshape(3, -1),
    ),
    "an empty array": (
        lambda seed, step: {"at": np.zeros((0, 2), np.float32)},
        np.zeros((3, 0, 2), np.float32),
    ),
}


def check_array(found: Any, expected: np.ndarray[Any, Any]) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert (found == expected).all()


@pytest.mark.parametrize(("show", "expected"), STACKED.values(), ids=STACKED)
async def test_a_single_field_becomes_an_array(show: Any, expected: Any) -> None:
    async with showing(show) as vector:
        await vector.reset(seed=0)
        observations, *_ = await vector.step([{}, {}, {}])
        check_array(observations, expected)
        await vector.step([{}, {}, {}], mask=np.zeros(3, bool))
        await vector.send([{}], [1])
        observations, *_ = await vector.recv()
        assert observations.shape == (1, *expected.shape[1:])


@pytest.mark.parametrize(
    ("show", "client_cls"), [(scene, SceneEnv), (scene, None), (as_dict, None)]
)
async def test_several_fields_become_a_dict_of_arrays(show: Any, client_cls: Any) -> None:
    async with showing(show, client_cls=client_cls) as vector:
        await vector.reset(seed=5)
        observations, rewards, *_ = await vector.step([{}, {}, {}])
        assert observations.keys() == {"place", "pixels"}
        check_array(observations["place"]["x"], np.array([5, 6, 7.0 if client_cls else 7]))
        check_array(observations["place"]["y"], np.array([[1, 5], [1, 6], [1, 7]]))
        pixels = np.repeat(np.array([6, 7, 8], np.uint8), 4).reshape(3, 2, 2)
        check_array(observations["pixels"], pixels)
        assert rewards.tolist() == [1, 1, 1]


LISTS = {
    "text": lambda seed, step: {"text": "go", "at": seed},
    "lists of different lengths": lambda seed, step: {"tokens": [0] * (seed + 1)},
    "ragged lists": lambda seed, step: {"tokens": [[0], [1, 2]]},
    "an empty list": lambda seed, step: {"tokens": []},
    "nothing": lambda seed, step: {},
    "different fields": lambda seed, step: {"a" if seed else "b": 1},
    "None": lambda seed, step: {"at": None},
}


@pytest.mark.parametrize("show", LISTS.values(), ids=LISTS)
async def test_what_cannot_be_stacked_is_a_list(show: Any) -> None:
    async with showing(show) as vector:
        expected = [show(seed, 1) for seed in range(3)]
        await vector.reset(seed=0)
        observations, *_ = await vector.step([{}, {}, {}])
        assert observations == expected
        await vector.send([{}, {}], [2, 0])
        observations, *_, infos = await vector.recv()
        assert observations == [expected[index] for index in infos["env_id"]]


async def test_objects_are_of_the_clients_class_with_what_travels_beside_them() -> None:
    async with showing(scene, client_cls=SceneEnv, stack=False) as vector:
        await vector.reset(seed=0)
        observations, *_ = await vector.step([{}, {}, {}])
        assert [type(one) for one in observations] == [Scene] * 3
        assert [one.place.x for one in observations] == [0, 1, 2]
        assert [one.reward for one in observations] == [1, 1, 1]


async def test_numbers_that_were_whole_at_first_may_become_fractions() -> None:
    async with showing(lambda seed, step: {"at": seed + (step / 2 if step else 0)}) as vector:
        observations, _ = await vector.reset(seed=0)
        assert observations.dtype == np.int64
        observations, *_ = await vector.step([{}, {}, {}], mask=[True, False, False])
        check_array(observations, np.array([0.5, 1, 2]))


async def test_the_form_stays_as_the_first_observations_have_decided() -> None:
    shapes: dict[int, Any] = {
        1: np.zeros(3, np.float32),
        2: np.zeros(2, np.float64),
        3: "text",
        4: {"x": 1},
        5: [0.0, 0.0],
        6: np.ones(2, np.float32),
    }
    show = lambda seed, step: {"at": shapes.get(step, np.zeros(2, np.float32)) if seed else OK}  # noqa: E731
    async with showing(show, 2) as vector:
        await vector.reset(seed=0)
        for _ in range(5):
            *_, truncations, infos = await vector.step([{}, {}])
            assert isinstance(infos["session_error"][1], PayloadError)
            assert truncations.tolist() == [False, True]
            vector._flight.over.clear()  # type: ignore[union-attr]  # as if it could go on
        observations, *_, infos = await vector.step([{}, {}])
        check_array(observations, np.array([[0, 0], [1, 1]], np.float32))
        assert infos == {}


OK = np.zeros(2, np.float32)


class Hooked(EnvClient[Any, Any, Any]):
    """Makes payloads and results by hand, as existing clients do."""

    def _step_payload(self, action: Any) -> dict[str, Any]:
        return {"amount": action["twice"] * 2}

    def _parse_observation(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"halved": data["total"] / 2}


async def test_hooks_of_a_client_class_are_used() -> None:
    async with in_process(Counter) as pool, pool.vector(2, Hooked, action="twice") as vector:
        assert (await vector.reset(seed=4))[0].tolist() == [2, 2.5]
        assert (await vector.step(np.array([1, 2])))[0].tolist() == [3, 4.5]


class WithoutSubprotocols:
    """Middleware that hides what clients offer, so that ours speaks the published dialect."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.app({**scope, "subprotocols": []}, receive, send)


class CounterEnv(EnvClient[Add, Total, State]):
    """The client of Counter."""


async def test_a_server_of_the_published_dialect_has_vectors_too() -> None:
    app = create_app(Counter, max_concurrent_envs=3)
    async with (
        within(10),
        serving(WithoutSubprotocols(app)) as url,
        connect(url) as pool,
        pool.vector(3, CounterEnv) as vector,
    ):
        assert (await vector.reset(seed=1))[0].tolist() == [1, 2, 3]
        observations, rewards, *_ = await vector.step([1, 1, 2])
        assert observations.tolist() == [2, 3, 5]
        assert rewards.tolist() == [1, 1, 2]


async def test_arrays_come_as_json_too() -> None:
    async with within(10), serving(create_app(CartPole)) as url:
        reach = partial(
            dial,
            url,
            connect_timeout_s=5.0,
            max_message_bytes=MAX_MESSAGE_BYTES,
            subprotocols=(SUBPROTOCOL_JSON,),
        )
        async with (
            Pool(url, dial=reach) as as_json,
            connect(url) as as_msgpack,
            as_json.vector(3, CartPoleEnv) as one,
            as_msgpack.vector(3, CartPoleEnv) as other,
        ):
            first, second = await one.reset(seed=1), await other.reset(seed=1)
            check_array(first[0], second[0])
            for _ in range(30):
                first, second = await one.step([1, 1, 0]), await other.step([1, 1, 0])
                for ours, theirs in zip(first[:4], second[:4], strict=True):
                    check_array(ours, theirs)


def test_without_numpy_a_vector_says_what_to_install() -> None:
    code = """
import sys
sys.modules["numpy"] = None
from openenv.client.pool import Pool
try:
    Pool("http://127.0.0.1:9").vector(2)
except ValueError as error:
    print(type(error).__name__, error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.startswith("ConfigurationError")
    assert "pip install 'openenv[tensor]'" in run.stdout


# ---- actions


@dataclass
class Push(Action):
    force: list[float]


@dataclass
class Pixels:
    pixels: NDArray[np.float32]


@dataclass
class Two:
    a: int
    b: int = 0


class Pydantic(pydantic.BaseModel):
    level: int


class Echo(Environment[dict[str, Any], dict[str, Any], State]):
    """Shows the action it got, as text."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self) -> dict[str, Any]:
        return {"got": "nothing"}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        shown = {
            key: (str(value.dtype), value.tolist()) if isinstance(value, np.ndarray) else value
            for key, value in action.items()
            if value != {}
        }
        return {"got": shown}


def client_of(action_cls: Any) -> Any:
    return types.new_class("EchoEnv", (EnvClient[action_cls, dict, State],))  # type: ignore[valid-type]


ACTIONS = [
    (Add, None, np.array([1, 2]), [{"amount": 1}, {"amount": 2}]),
    (Add, None, [1, 2], [{"amount": 1}, {"amount": 2}]),
    (Add, None, [np.int8(1), np.int8(2)], [{"amount": 1}, {"amount": 2}]),
    (Add, None, [Add(1), {"amount": 2}], [{"amount": 1}, {"amount": 2}]),
    (Add, None, (Add(1), Add(2)), [{"amount": 1}, {"amount": 2}]),
    (Push, None, np.array([[1.0, 2.0], [3.0, 4.0]]), [{"force": [1, 2]}, {"force": [3, 4]}]),
    (Push, None, [[1.0, 2.0], [3.0, 4.0]], [{"force": [1, 2]}, {"force": [3, 4]}]),
    (
        Pixels,
        None,
        np.ones((2, 1), np.float32),
        [{"pixels": ["<f4", [1]]}, {"pixels": ["<f4", [1]]}],
    ),
    (Pydantic, None, np.array([1, 2]), [{"level": 1}, {"level": 2}]),
    (None, "go", np.array([1, 2]), [{"go": 1}, {"go": 2}]),
    (Two, "b", np.array([1, 2]), [{"b": 1}, {"b": 2}]),
    (Two, lambda value: Two(value, 7), np.array([1, 2]), [{"a": 1, "b": 7}, {"a": 2, "b": 7}]),
    (
        Two,
        lambda row: {"a": int(row[0])},
        np.array([[1, 5], [2, 5]]),
        [{"a": 1}, {"a": 2}],
    ),
]


@pytest.mark.parametrize(("action_cls", "action", "actions", "expected"), ACTIONS)
async def test_actions_reach_their_field(
    action_cls: Any, action: Any, actions: Any, expected: Any
) -> None:
    async with (
        in_process(Echo) as pool,
        pool.vector(2, client_of(action_cls), action=action) as vector,
    ):
        await vector.reset()
        observations, *_ = await vector.step(actions)
        got = [one["got"] for one in observations]
        for one in got:
            if "pixels" in one:
                one["pixels"] = ["<f4" if one["pixels"][0] == "float32" else "", one["pixels"][1]]
        assert got == expected


@pytest.mark.parametrize("action_cls", [None, Two])
async def test_an_array_without_a_field_to_go_to_is_refused(action_cls: Any) -> None:
    async with in_process(Echo) as pool, pool.vector(2, client_of(action_cls)) as vector:
        await vector.reset()
        with pytest.raises(ConfigurationError, match="action="):
            await vector.step(np.array([1, 2]))


# ---- infos


def test_infos_that_do_not_fit_together_are_kept_as_objects() -> None:
    infos: dict[str, Any] = {}
    for place, value in enumerate([1, 0.5, 2**70, "text", None]):
        add_info(infos, 6, place, {"said": value})
    assert infos["said"].tolist() == [1, 0.5, 2**70, "text", None, 0]
    assert infos["_said"].tolist() == [True] * 5 + [False]


def test_what_an_environment_says_under_a_name_of_ours_gives_way() -> None:
    infos: dict[str, Any] = {}
    add_info(infos, 2, 0, {"final_obs": 1})
    add_object(infos, 2, "final_obs", 1, "seen")
    assert infos["final_obs"].tolist() == [None, "seen"]
    assert infos["_final_obs"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([True, 2], np.int64),
        ([1, 2], np.int64),
        ([1, 2.5], np.float64),
        ([np.float32(1), np.float64(2)], np.float64),
        ([np.array([1, 2]), np.array([1.5, 2])], np.float64),
        ([np.array([1, 2]), np.array([1, 2, 3])], object),
        ([1, "a"], object),
        ([{"a": 1}, "a"], object),
    ],
)
def test_arrays_of_infos_hold_all_that_was_said(values: list[Any], dtype: Any) -> None:
    infos: dict[str, Any] = {}
    for place, value in enumerate(values):
        add_info(infos, 2, place, {"said": value})
    if isinstance(infos["said"], dict):
        assert infos["said"]["a"].tolist() == [1, 0]
        assert infos["_said"].tolist() == [True, False]
        return
    assert infos["said"].dtype == dtype
    for found, value in zip(infos["said"], values, strict=True):
        assert np.array_equal(found, value)
