"""HTTPEnvClient: the blocking client over plain HTTP, against real servers."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from openenv.app import create_app
from openenv.client.blocking import portal
from openenv.client.blocking.sync import SyncEnvClient
from openenv.client.http.client import HTTPEnvClient
from openenv.environment import Environment
from openenv.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    EnvironmentFault,
    NotReset,
    PayloadError,
    RequestTimeout,
    SessionCapacityError,
    SessionExpired,
    SessionNotFoundError,
    StepTimeout,
)
from openenv.models import State, StepResult
from openenv.server.config import ServerConfig
from tests.environments import Add, Counter, Sleeper, ThreadCounter, Total
from tests.serving import serving_elsewhere


class CounterEnv(HTTPEnvClient[Add, Total, State]):
    pass


def test_an_episode_is_typed_from_end_to_end() -> None:
    with serving_elsewhere(create_app(ThreadCounter)) as url, CounterEnv(url) as env:
        assert env.reset(seed=3, episode_id="mine") == StepResult(Total(3), 0.0)
        result = env.step(Add(2))
        assert result == StepResult(Total(5, reward=2.0), 2.0)
        assert env.state() == State(episode_id="mine", step_count=1)
        assert [one.observation.total for one in env.stream(Add(1))] == [6]
    assert Counter.living == 0


def test_without_classes_it_takes_and_gives_dicts() -> None:
    with serving_elsewhere(create_app(Counter)) as url, HTTPEnvClient.from_url(url) as env:
        assert env.base_url == url
        assert env.reset().observation == {"total": 0}
        assert env.step({"amount": 4}).observation == {"total": 4}
        assert env.state()["step_count"] == 1


def test_two_clients_have_two_sessions() -> None:
    with (
        serving_elsewhere(create_app(Counter)) as url,
        CounterEnv(url) as one,
        CounterEnv(url) as two,
    ):
        for env in (one, two):
            env.reset()
        for env in (one, two, one):
            env.step(Add(1))
        assert (one.state().step_count, two.state().step_count) == (2, 1)


# ---- hooks and classes


class Hooked(HTTPEnvClient[Add, Total]):
    def _step_payload(self, action: Add) -> dict[str, Any]:
        return {"amount": action.amount * 10}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[Total]:
        total = Total(payload["observation"]["total"], reward=-1.0)
        return StepResult(total, payload["reward"], payload["done"])

    def _parse_state(self, payload: dict[str, Any]) -> Any:
        return ["state", payload["step_count"]]


class HalfHooked(HTTPEnvClient[Add, Total, State]):
    def _serialize_action(self, action: Add) -> dict[str, Any]:
        return {"amount": action.amount * 10}

    def _parse_observation(self, data: dict[str, Any]) -> Total:
        return Total(**data)


@pytest.mark.parametrize("cls", [Hooked, HalfHooked])
def test_hooks_of_a_subclass_win(cls: type[HTTPEnvClient[Add, Total]]) -> None:
    with serving_elsewhere(create_app(Counter)) as url, cls(base_url=url) as env:
        env.reset()
        result = env.step(Add(1))
        assert (result.observation.total, result.reward) == (10, 10.0)
        if cls is Hooked:
            assert result.observation.reward == -1.0
            assert env.state() == ["state", 1]
        else:
            assert result.observation.reward == 10.0
            assert env.state().step_count == 1


def test_a_subclass_of_a_subclass_keeps_its_classes() -> None:
    class Named(CounterEnv):
        pass

    with serving_elsewhere(create_app(Counter)) as url, Named(url) as env:
        assert env.reset().observation == Total(0)


@dataclass
class Image:
    pixels: np.ndarray[Any, np.dtype[np.float32]]
    reward: float = 0.0


class Doubler(Environment[Image, Image, State]):
    execution = "inline"

    def reset(self) -> Image:
        return Image(np.zeros((2, 2), np.float32))

    def step(self, action: Image) -> Image:
        return Image(action.pixels * 2, reward=float("inf"))


class DoublerEnv(HTTPEnvClient[Image, Image, State]):
    pass


def test_arrays_and_infinities_arrive_as_they_were() -> None:
    with serving_elsewhere(create_app(Doubler)) as url, DoublerEnv(url) as env:
        env.reset()
        result = env.step(Image(np.eye(2, dtype=np.float32)))
        np.testing.assert_array_equal(result.observation.pixels, 2 * np.eye(2, dtype=np.float32))
        assert result.observation.pixels.dtype == np.float32
        assert result.reward == float("inf")


# ---- other clients of the same session


def test_a_session_is_handed_from_a_websocket_to_http_and_back() -> None:
    with serving_elsewhere(create_app(Counter)) as url:
        first = SyncEnvClient.from_url(url)
        first.reset(seed=10)
        with CounterEnv(url) as second:
            second.attach(str(first.session_token))
            assert second.step(Add(1)).observation.total == 11
            assert first.step({"amount": 1}).observation["total"] == 12
            assert second.state().step_count == 2
        with pytest.raises(SessionExpired):
            first.step({"amount": 1})
        first.close()


def test_a_session_that_nobody_has_opened_cannot_be_attached() -> None:
    with serving_elsewhere(create_app(Counter)) as url, CounterEnv(url) as env:
        with pytest.raises(SessionNotFoundError):
            env.attach("nobody's")
        assert env.reset().observation.total == 0


# ---- what goes wrong


def test_a_step_before_reset_is_refused() -> None:
    with (
        serving_elsewhere(create_app(Counter)) as url,
        CounterEnv(url) as env,
        pytest.raises(NotReset),
    ):
        env.step(Add(1))


def test_a_bad_action_is_a_payload_error_with_its_path_and_the_session_lives_on() -> None:
    with serving_elsewhere(create_app(Counter)) as url, HTTPEnvClient(url) as env:
        env.reset()
        with pytest.raises(PayloadError) as refused:
            env.step({"amount": "x"})
        assert refused.value.path == ".amount"
        with pytest.raises(PayloadError):
            env.step({"amount": object()})
        assert env.step({"amount": 1}).observation == {"total": 1}


def test_an_environment_that_raises_is_an_environment_fault() -> None:
    class Faulty(Counter):
        def step(self, action: Add) -> Total:
            raise LookupError("out of cheese")

    with serving_elsewhere(create_app(Faulty)) as url, CounterEnv(url) as env:
        env.reset()
        with pytest.raises(EnvironmentFault, match="out of cheese") as fault:
            env.step(Add(1))
        assert fault.value.remote_type == "LookupError"


def test_one_session_too_many_is_a_capacity_error_unless_it_waits() -> None:
    app = create_app(Counter, max_concurrent_envs=1)
    with serving_elsewhere(app) as url, CounterEnv(url) as first:
        first.reset()
        with CounterEnv(url) as second, pytest.raises(SessionCapacityError) as refused:
            second.reset()
        assert (refused.value.active_sessions, refused.value.max_sessions) == (1, 1)
        waiting = CounterEnv(url, wait_s=10)
        thread = threading.Thread(target=waiting.reset)
        thread.start()
        first.close()
        thread.join()
        assert waiting.step(Add(1)).observation.total == 1
        waiting.close()


def test_no_server_is_a_connect_error() -> None:
    env = CounterEnv("http://127.0.0.1:1")
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1:1"):
        env.connect()
    with pytest.raises(ConnectionError):
        env.reset()


@pytest.mark.parametrize("url", ["ftp://somewhere", "http://"])
def test_what_is_no_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError):
        CounterEnv(url).connect()


def test_a_server_that_is_gone_takes_its_sessions_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv.client.http.connection.RECONNECT_S", 0.2)
    env = CounterEnv("http://127.0.0.1:1")
    with serving_elsewhere(create_app(Counter)) as url:
        env = CounterEnv(url)
        env.reset()
    with pytest.raises(ConnectionLost):
        env.step(Add(1))
    with pytest.raises(SessionExpired):
        env.step(Add(1))
    with pytest.raises(ConnectionError):
        env.reset()
    env.close()


def test_a_session_that_the_server_has_ended_is_expired_until_reset() -> None:
    config = ServerConfig(session_timeout_s=0.05)
    app = create_app(Counter, config=config)
    with serving_elsewhere(app) as url, CounterEnv(url) as env:
        env.reset()
        until(lambda: not app.state.registry.sessions)
        with pytest.raises(SessionExpired):
            env.step(Add(1))
        with pytest.raises(SessionExpired):
            env.state()
        assert env.reset().observation.total == 0


def until(is_so: Callable[[], bool]) -> None:
    event = threading.Event()
    for _ in range(1000):
        if is_so():
            return
        event.wait(0.01)
    raise TimeoutError


class SleeperEnv(HTTPEnvClient[dict[str, Any], dict[str, Any], State]):
    pass


def test_no_reply_in_time_is_a_request_timeout_and_the_session_needs_a_reset() -> None:
    Sleeper.release = threading.Event()
    with (
        serving_elsewhere(create_app(Sleeper)) as url,
        SleeperEnv(url, request_timeout_s=0.3) as env,
    ):
        env.reset()
        with pytest.raises(RequestTimeout):
            env.step({"hang": True})
        with pytest.raises(NotReset):
            env.step({})
        Sleeper.release.set()
        assert env.reset().observation == {"ready": True}
        assert env.step({}).observation == {"slept": True}


def test_the_servers_own_deadline_is_a_step_timeout() -> None:
    Sleeper.release = threading.Event()
    with serving_elsewhere(create_app(Sleeper)) as url, SleeperEnv(url) as env:
        env.reset()
        with pytest.raises(StepTimeout):
            env.step({"hang": True}, timeout_s=0.1)
        with pytest.raises(NotReset):
            env.step({})
        Sleeper.release.set()
        assert env.reset().observation == {"ready": True}


# ---- servers that are not ours


@dataclass
class FakeServer:
    """Answers what it is told to, and remembers what it was asked."""

    answers: dict[str, tuple[int, Any]]
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def answer(self, request: Request) -> JSONResponse:
        path = request.url.path
        self.asked.append((path, dict(request.headers), await request.body()))
        status, content = self.answers.get(path, (404, {"detail": "Not Found"}))
        return JSONResponse(content, status)

    @property
    def app(self) -> Starlette:
        methods = ["GET", "POST", "DELETE"]
        return Starlette(routes=[Route("/{path:path}", self.answer, methods=methods)])


OBSERVED = {"observation": {"total": 1}, "reward": 1.0, "done": False}


def first_release(**answers: tuple[int, Any]) -> FakeServer:
    """The routes of the first release, which names no sessions."""
    replies = {"/health": (200, {}), "/reset": (200, OBSERVED), "/step": (200, OBSERVED)}
    named = {f"/{name}": reply for name, reply in answers.items()}
    return FakeServer({**replies, "/state": (200, {"step_count": 2}), **named})


def test_a_server_of_the_first_release_gets_plain_json_and_arrays_as_lists() -> None:
    server = first_release()
    with serving_elsewhere(server.app) as url, HTTPEnvClient(url) as env:
        env.reset()
        assert env.session_token in ("", None)
        step = env.step({"amount": np.arange(3), "weight": np.float32(0.5)})
        assert step.observation == {"total": 1}
        assert env.state() == {"step_count": 2}
    bodies = {path: body for path, _, body in server.asked}
    assert bodies["/reset"] == b"{}"
    assert bodies["/step"] == b'{"action":{"amount":[0,1,2],"weight":0.5}}'
    assert not any("x-openenv-session" in headers for _, headers, _ in server.asked)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((422, {"detail": [{"loc": ["n"]}]}), PayloadError),
        ((500, {"detail": "no"}), EnvironmentFault),
    ],
)
def test_refusals_of_other_servers_are_typed_by_their_status(
    reply: tuple[int, Any], error: type[Exception]
) -> None:
    with serving_elsewhere(first_release(step=reply).app) as url, HTTPEnvClient(url) as env:
        env.reset()
        with pytest.raises(error):
            env.step({})


def test_a_server_that_forgets_between_requests_is_refused() -> None:
    server = first_release(schema=(200, {}))
    with (
        serving_elsewhere(server.app) as url,
        HTTPEnvClient(url) as env,
        pytest.raises(ConfigurationError, match="EnvClient"),
    ):
        env.reset()


def test_the_callers_headers_go_with_every_request() -> None:
    server = first_release()
    headers = {"authorization": "Bearer x"}
    with (
        serving_elsewhere(server.app) as url,
        HTTPEnvClient(url, default_headers=headers) as env,
    ):
        env.reset()
    assert {sent.get("authorization") for _, sent, _ in server.asked} == {"Bearer x"}


def test_closing_stops_what_the_provider_started() -> None:
    class Provider:
        stopped = False

        def stop_container(self) -> None:
            self.stopped = True

    provider = Provider()
    with serving_elsewhere(create_app(Counter)) as url, CounterEnv(url, provider=provider) as env:
        env.reset()
    assert provider.stopped
    portal.stop()  # with the thread in which the provider was stopped
