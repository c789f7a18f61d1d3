"""make_registry: what users may give, and which contradictions are refused."""

import functools
import inspect
from dataclasses import dataclass
from typing import Any

import pytest

from openenv.environment import Environment
from openenv.errors import ConcurrencyConfigurationError, ConfigurationError
from openenv.server.config import ServerConfig
from openenv.server.host import make_registry, make_spec
from openenv.server.runners.inline import Runner
from openenv.server.runners.task import TaskRunner
from openenv.server.runners.thread import ThreadRunner
from openenv.server.workers.runner import WorkerRunner
from tests.worker_environments import Alone, Deadly, make_deadly


class Plain(Environment[dict[str, Any], dict[str, Any], Any]):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, size: int = 1) -> None:
        self.size = size

    def reset(self) -> dict[str, Any]:
        return {}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        return {}


class Inline(Plain):
    execution = "inline"


class Async(Plain):
    async def step(self, action: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return {}


class Needy(Plain):
    def __init__(self, size: int) -> None:
        super().__init__(size)


@pytest.mark.parametrize(
    ("env", "options", "kind"),
    [
        (Inline, {}, Runner),
        (Plain, {}, ThreadRunner),
        (Plain, {"execution": "inline"}, Runner),
        (Plain, {"config": ServerConfig(execution="inline")}, Runner),
        (Inline, {"config": ServerConfig(execution="inline"), "execution": "thread"}, ThreadRunner),
        (Async, {}, TaskRunner),
        (Deadly, {}, WorkerRunner),
        (Deadly, {"config": ServerConfig(workers=2)}, WorkerRunner),
        (Deadly, {"execution": "thread"}, ThreadRunner),
    ],
)
def test_a_session_s_runner_is_that_of_its_execution(
    env: Any, options: dict[str, Any], kind: type
) -> None:
    registry = make_registry(env, **options)
    assert type(registry.open()._runner) is kind
    assert (registry.workers is not None) is (kind is WorkerRunner)


@pytest.mark.parametrize(("watch", "has_spectators"), [(True, True), (False, False)])
def test_spectators_are_there_where_they_are_allowed(watch: bool, has_spectators: bool) -> None:
    registry = make_registry(Inline, config=ServerConfig(watch=watch))
    assert (registry.spectators is not None) is has_spectators


# ---- what is served


def test_a_class_is_made_for_each_session() -> None:
    spec = make_spec(Plain)
    assert (spec.cls, spec.is_shared, spec.name) == (Plain, False, "Plain")
    assert spec.construct().environment is not spec.construct().environment


def test_an_instance_is_shared() -> None:
    environment = Plain()
    spec = make_spec(environment, name="mine")
    assert (spec.cls, spec.is_shared, spec.name) == (Plain, True, "mine")
    assert spec.construct().environment is environment
    assert spec.construct().environment is environment


def test_the_instance_that_shows_a_factory_s_class_goes_to_the_first_session() -> None:
    made: list[Plain] = []

    def make() -> Plain:
        made.append(Plain())
        return made[-1]

    spec = make_spec(make)
    assert (spec.cls, spec.is_shared, len(made)) == (Plain, False, 1)
    assert spec.construct().environment is made[0]
    assert spec.construct().environment is made[1]


def test_a_partial_brings_the_arguments_of_a_class() -> None:
    assert make_spec(functools.partial(Needy, 3)).construct().environment.size == 3


def test_a_class_that_needs_arguments_is_refused_with_advice() -> None:
    with pytest.raises(ConfigurationError, match=r"functools\.partial"):
        make_spec(Needy)


def test_what_is_no_environment_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="int"):
        make_spec(5)


def test_a_class_whose_signature_cannot_be_read_is_taken() -> None:
    class Unreadable(dict[str, Any]):
        reset, step = Plain.reset, Plain.step

    with pytest.raises(ValueError, match="signature"):
        inspect.signature(Unreadable)

    assert make_spec(Unreadable).cls is Unreadable


def test_given_payload_classes_replace_those_of_the_class() -> None:
    @dataclass
    class Move:
        x: int

    spec = make_spec(Plain, Move)
    assert spec.replies.action.decode(b"\x81\xa1x\x05", "msgpack") == Move(5)


# ---- settings


def test_the_number_of_sessions_comes_from_where_it_is_given() -> None:
    @dataclass
    class Concurrency:
        max_concurrent_envs: int = 3
        session_timeout: float | None = 60.0

    config = ServerConfig(max_concurrent_envs=5)
    assert make_registry(Plain, config=config).max_sessions == 5
    assert make_registry(Plain, config=config, max_concurrent_envs=4).max_sessions == 4
    registry = make_registry(Plain, config=config, concurrency_config=Concurrency())
    assert registry.max_sessions == 3
    assert registry.config.idle_timeout_s == 60.0
    with pytest.raises(ConfigurationError):
        make_registry(Plain, max_concurrent_envs=4, concurrency_config=Concurrency())


def test_without_a_config_the_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_CONCURRENT_ENVS", "7")
    assert make_registry(Plain).max_sessions == 7


def test_more_sessions_than_a_class_allows_are_refused() -> None:
    with pytest.raises(ConcurrencyConfigurationError):
        make_registry(Alone, max_concurrent_envs=2, execution="thread")


def test_a_class_that_must_be_alone_has_a_session_in_each_worker() -> None:
    assert make_registry(Alone, config=ServerConfig(workers=3)).max_sessions == 3


@pytest.mark.parametrize(
    ("env", "options", "word"),
    [
        (Inline, {"config": ServerConfig(workers=2), "execution": "thread"}, "workers"),
        (Async, {"config": ServerConfig(workers=2)}, "Async"),
        (Deadly(), {}, "shared"),
        (lambda: Deadly(), {}, "lambda"),
    ],
)
def test_contradictions_are_refused(env: Any, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        make_registry(env, **options)


def test_a_factory_s_first_instance_is_closed_where_workers_make_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[Any] = []
    monkeypatch.setattr(Deadly, "close", lambda self: closed.append(self))
    registry = make_registry(make_deadly)
    assert [type(one) for one in closed] == [Deadly]
    assert registry.workers is not None
