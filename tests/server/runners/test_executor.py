"""RequestExecutor: from each request to its reply, by calls of one environment."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from openenv.environment import Environment
from openenv.errors import RequestCancelled
from openenv.protocol.frames import (
    Close,
    Closed,
    Error,
    GetState,
    Open,
    Opened,
    Partial,
    Reset,
    Result,
    StateReply,
    Step,
)
from openenv.server.runners.executor import RequestExecutor
from openenv.server.runners.queries import EnvironmentQuery
from openenv.server.runners.spec import EnvironmentSpec
from tests.server.fakes import FakeOrigin

EMPTY, RAISE, EXIT, PANIC = (
    b"\x80",
    b"\x81\xa2do\xa5raise",
    b"\x81\xa2do\xa4exit",
    b"\x81\xa2do\xa5panic",
)


class Panic(BaseException):
    """As extension modules raise them."""


class Plain(Environment[dict[str, Any], dict[str, Any], Any]):
    def __init__(self) -> None:
        self.log: list[Any] = []

    def reset(self, seed: int | None = None, level: int = 1) -> dict[str, Any]:
        self.log.append((seed, level, self.episode_id))
        return {"level": level}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        match action.get("do"):
            case "raise":
                raise ValueError("as asked")
            case "exit":
                raise SystemExit(3)
            case "panic":
                raise Panic
            case "interrupt":
                raise KeyboardInterrupt
        return {"reward": 1.0}

    def close(self) -> None:
        self.log.append("close")

    def render(self, mode: str = "text") -> str:
        return mode


def kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what the function returns, so that nothing but `close` ends a generator."""

    @wraps(function)
    def call(self: Any, action: Any) -> Any:
        self.kept = function(self, action)
        return self.kept

    return call


class Streaming(Plain):
    @kept
    def step(self, action: dict[str, Any]) -> Any:
        try:
            yield {"number": 1}
            yield {"number": 2}
            if action.get("do") == "raise":
                raise ValueError("as asked")
            yield {"number": 3}
        finally:
            self.log.append("closed generator")


class Executor(RequestExecutor):
    """Collects partial observations; `limit` of them are taken."""

    limit = 99

    def __init__(self, cls: type) -> None:
        super().__init__(EnvironmentSpec(cls, cls))
        self.partials: list[Any] = []

    def emit(self, origin: Any, frame: Partial) -> None:
        if len(self.partials) >= self.limit:
            raise RequestCancelled("the call was given up")
        self.partials.append(frame)

    def _opened(self, frame: Open) -> Opened:
        return Opened(frame.id, "token")

    def ask(self, frame: Any, origin: FakeOrigin | None = None) -> Any:
        return self.perform(frame, origin or FakeOrigin())

    @property
    def log(self) -> list[Any]:
        assert self.bound is not None
        return list(self.bound.environment.log)


@pytest.fixture
def executor() -> Executor:
    executor = Executor(Plain)
    assert executor.ask(Open(1, 1)) == Opened(1, "token")
    assert type(executor.ask(Reset(2, 1))) is Result
    return executor


def test_each_request_has_its_reply(executor: Executor) -> None:
    assert executor.ask(Reset(3, 1, 7, "mine", {"level": 2})) == Result(3, {"level": 2})
    assert executor.log[-1] == (7, 2, "mine")
    assert executor.ask(Step(4, 1, EMPTY)) == Result(4, {}, 1.0)
    state = executor.ask(GetState(5, 1))
    assert type(state) is StateReply
    assert (state.state.episode_id, state.state.step_count) == ("mine", 1)
    shown = executor.ask(EnvironmentQuery(6, 1, "render", ("ansi",)))
    assert shown.state["data"] == b"ansi"
    assert executor.ask(Close(7, 1)) == Closed(7, 1, "closed")
    assert executor.log[-1] == "close"


def test_an_environment_is_made_with_the_first_request_that_needs_it() -> None:
    executor = Executor(Plain)
    assert executor.ask(Close(1, 1)) == Closed(1, 1, "closed")
    assert executor.bound is None
    # After a call that was left behind a reset may come first.
    assert type(executor.ask(Reset(2, 1))) is Result


@pytest.mark.parametrize(
    ("action", "code", "type_name"),
    [
        (RAISE, "ENVIRONMENT_FAULT", "ValueError"),
        (EXIT, "ENVIRONMENT_FAULT", "SystemExit"),
        (PANIC, "ENVIRONMENT_FAULT", "Panic"),
        (b"\x05", "PAYLOAD_ERROR", None),
    ],
)
def test_what_goes_wrong_in_a_step_becomes_an_error(
    executor: Executor, action: bytes, code: str, type_name: str | None
) -> None:
    reply = executor.ask(Step(3, 1, action))
    assert type(reply) is Error
    assert (reply.id, reply.code) == (3, code)
    assert (reply.details or {}).get("remote_type") == type_name
    assert executor.episode.step_count == 0


def test_control_c_is_no_fault_of_the_environment(executor: Executor) -> None:
    with pytest.raises(KeyboardInterrupt):
        executor.ask(Step(3, 1, b"\x81\xa2do\xa9interrupt"))


def test_a_constructor_that_fails_is_told_and_tried_again() -> None:
    class Failing(Plain):
        failures = 1

        def __init__(self) -> None:
            if Failing.failures:
                Failing.failures -= 1
                raise ValueError("as asked")
            super().__init__()

    executor = Executor(Failing)
    assert executor.ask(Open(1, 1)).code == "ENVIRONMENT_FACTORY_FAILED"
    assert executor.bound is None
    assert type(executor.ask(Open(1, 1))) is Opened


def test_an_option_that_reset_does_not_take_begins_no_episode(executor: Executor) -> None:
    before = executor.episode
    assert executor.ask(Reset(3, 1, options={"levle": 2})).code == "PAYLOAD_ERROR"
    assert executor.episode is before
    lenient = FakeOrigin(is_lenient=True)
    assert type(executor.ask(Reset(3, 1, options={"levle": 2}), lenient)) is Result


def test_an_argument_that_is_dropped_is_logged_once(
    executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    class Seedless(Plain):
        def reset(self) -> dict[str, Any]:  # type: ignore[override]
            return {}

    executor = Executor(Seedless)
    for number in (2, 3):
        assert type(executor.ask(Reset(number, 1, 7))) is Result
    assert len(caplog.records) == 1


def test_a_stream_sends_all_observations_but_the_last_before_the_reply() -> None:
    executor = Executor(Streaming)
    executor.ask(Reset(2, 1))
    assert executor.ask(Step(3, 1, EMPTY, stream=True)).observation == {"number": 3}
    assert [(one.id, one.observation["number"]) for one in executor.partials] == [(3, 1), (3, 2)]
    assert executor.episode.step_count == 1
    executor.partials.clear()
    assert executor.ask(Step(4, 1, EMPTY)).observation == {"number": 3}
    assert executor.partials == []


def test_a_stream_that_fails_is_a_step_that_fails() -> None:
    executor = Executor(Streaming)
    executor.ask(Reset(2, 1))
    assert executor.ask(Step(3, 1, RAISE, stream=True)).code == "ENVIRONMENT_FAULT"
    assert len(executor.partials) == 1
    assert executor.episode.step_count == 0


def test_a_stream_that_was_given_up_is_closed_and_no_fault() -> None:
    executor = Executor(Streaming)
    executor.ask(Reset(2, 1))
    executor.limit = 0
    assert executor.ask(Step(3, 1, EMPTY, stream=True)).code == "CANCELLED"
    assert executor.log[-1] == "closed generator"
    assert executor.episode.step_count == 0


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_actions_are_read_in_their_origin_s_encoding(executor: Executor, encoding: str) -> None:
    action = {"msgpack": RAISE, "json": b'{"do":"raise"}'}[encoding]
    assert executor.ask(Step(3, 1, action), FakeOrigin(encoding)).code == "ENVIRONMENT_FAULT"


def test_the_base_leaves_what_it_does_not_know_to_the_runners() -> None:
    executor = RequestExecutor(EnvironmentSpec(Plain, Plain))
    with pytest.raises(NotImplementedError):
        executor.emit(FakeOrigin(), Partial(1, {}))
    with pytest.raises(NotImplementedError):
        executor._opened(Open(1, 1))
