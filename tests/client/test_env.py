"""EnvClient: what it takes, what it makes of payloads, and whom it closes."""

from typing import Any

import msgspec
import pytest

from openenv.client.blocking.sync import SyncEnvClient
from openenv.client.env import EnvClient
from openenv.client.generic import GenericEnvClient
from openenv.client.http.client import HTTPEnvClient
from openenv.client.ports import RequestLink
from openenv.errors import ConfigurationError, RequestTimeout, to_wire
from openenv.models import State, StepResult
from openenv.protocol.frames import Error, Open, Opened, Result
from tests.client.test_session import Link, usual
from tests.environments import Add, Total

URL = "http://127.0.0.1:9"


class CounterEnv(EnvClient[Add, Total, State]):
    pass


class Hooked(EnvClient[Any, Any, Any]):
    """A client whose payloads its own methods read and write."""

    def _step_payload(self, action: int) -> dict[str, Any]:
        return {"amount": action}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[Any]:
        return StepResult(payload["observation"]["total"], payload["reward"], payload["done"])


class Provider:
    def __init__(self) -> None:
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1


def totals(frame: Any) -> Any:
    if type(frame) is Open:
        return Opened(frame.id, "token")
    return Result(frame.id, msgspec.Raw(msgspec.msgpack.encode({"total": 3})), 1.0, True)


async def opened(cls: Any, **options: Any) -> tuple[Link, Any]:
    link = Link()
    link.answer = totals
    env = cls(URL, link=link, **options)
    await env.reset()
    return link, env


# ---- keywords


@pytest.mark.parametrize("cls", [CounterEnv, GenericEnvClient])
async def test_a_misspelt_keyword_of_step_is_refused(cls: Any) -> None:
    link, env = await opened(cls)
    asked = len(link.asked)
    with pytest.raises(TypeError, match="timout_s"):
        await env.step(Add(1), timout_s=1)
    with pytest.raises(TypeError, match="timout_s"):
        env.stream(Add(1), timout_s=1)
    assert len(link.asked) == asked


@pytest.mark.parametrize("make", [lambda: CounterEnv(URL).sync(), lambda: HTTPEnvClient(URL)])
def test_a_misspelt_keyword_of_a_blocking_step_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match="timout_s"):
        make().step(Add(1), timout_s=1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: CounterEnv(URL, wait=1),
        lambda: CounterEnv.from_url(URL, wait=1),
        lambda: SyncEnvClient.from_url(URL, wait=1),
        lambda: HTTPEnvClient(URL, wait=1),
        lambda: HTTPEnvClient.from_url(URL, wait=1),
    ],
)
def test_a_misspelt_keyword_of_a_constructor_is_refused(call: Any) -> None:
    with pytest.raises(TypeError, match="wait"):
        call()


async def test_other_keywords_of_reset_are_options_of_the_environment() -> None:
    link, env = await opened(GenericEnvClient)
    await env.reset(seed=1, difficulty="hard")
    assert link.asked[-1][0].options == {"difficulty": "hard"}


@pytest.mark.parametrize("mode", ["simulation", "Production", None])
def test_a_mode_is_accepted_for_existing_clients_and_kept_nowhere(mode: str | None) -> None:
    assert not hasattr(CounterEnv(URL, mode=mode), "mode")


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        CounterEnv(URL, mode="karaoke")


def test_a_client_needs_a_url_or_a_provider() -> None:
    with pytest.raises(ConfigurationError):
        CounterEnv()
    CounterEnv(provider=Provider())


# ---- deadlines


@pytest.mark.parametrize(("timeout_s", "patience_s"), [(None, 30.0), (2.0, 7.0)])
async def test_a_step_sends_its_deadline_and_waits_a_little_longer(
    timeout_s: float | None, patience_s: float
) -> None:
    link, env = await opened(GenericEnvClient, message_timeout_s=30.0)
    await env.step({}, timeout_s)
    frame, waited_s = link.asked[-1]
    assert (frame.timeout_s, waited_s) == (timeout_s, patience_s)


# ---- payloads


async def test_replies_become_what_the_type_parameters_say() -> None:
    _, env = await opened(CounterEnv)
    result = await env.step(Add(2))
    assert result == StepResult(Total(3, 1.0, True), 1.0, True)


async def test_hooks_come_before_type_parameters() -> None:
    link, env = await opened(Hooked)
    result = await env.step(5)
    assert link.asked[-1][0].action == {"amount": 5}
    assert (result.observation, result.reward, result.done) == (3, 1.0, True)


async def test_an_outcome_of_many_is_a_result_or_an_error_as_a_value() -> None:
    _, env = await opened(CounterEnv)
    assert env._outcome(totals(env._session.state_frame())).observation.total == 3
    late = env._outcome(Error(1, *to_wire(RequestTimeout("late"))))
    assert isinstance(late, RequestTimeout)


# ---- whom it closes


@pytest.mark.parametrize("cls", [GenericEnvClient, CounterEnv])
async def test_a_link_that_was_given_stays_open(cls: Any) -> None:
    provider = Provider()
    link, env = await opened(cls, provider=provider)
    link.answer = usual
    await env.close()
    assert link.is_open
    assert not env._session.is_open
    assert provider.stopped == 0


async def test_a_link_of_its_own_is_closed_and_its_server_stopped_once() -> None:
    link, provider = Link(), Provider()

    class Own(GenericEnvClient):
        def _new_link(self, *_: Any) -> RequestLink:
            return link

    env = Own(URL, provider=provider)
    await env.connect()
    await env.disconnect()
    assert (link.is_open, provider.stopped) == (False, 0)
    await env.close()
    await env.close()
    assert provider.stopped == 1


def test_the_blocking_form_wraps_the_same_client() -> None:
    env = CounterEnv(URL)
    assert env.sync().async_client is env
