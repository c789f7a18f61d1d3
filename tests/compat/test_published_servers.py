"""Our clients against servers that run the published releases, each in its own process."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

import openenv
from benchmarks.peers.installation import FIRST, NEWEST, RENAMED_FROM, python_of
from benchmarks.peers.program import running
from envs.echo_env import EchoAction, EchoEnv
from openenv.errors import (
    ConfigurationError,
    ConnectionLost,
    EnvironmentFault,
    OpenEnvError,
    PayloadError,
    SessionCapacityError,
    SessionExpired,
)
from openenv.testing.chaos import cutting_proxy
from tests.patience import within

# The first run installs the releases.
pytestmark = pytest.mark.timeout(900)

_SLOTS = 8


@pytest.fixture(scope="module", params=[RENAMED_FROM, NEWEST], ids=str)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    program = [python_of(request.param), "benchmarks/peers/programs/serve_echo.py"]
    with running([*program, "--faulty", "--sessions", str(_SLOTS)]) as server:
        yield server.announcement["url"]


@pytest.fixture(scope="module")
def url_of_first() -> Iterator[str]:
    with running([python_of(FIRST), "benchmarks/peers/programs/serve_first_echo.py"]) as server:
        yield server.announcement["url"]


async def test_our_generic_client_plays_an_episode(url: str) -> None:
    async with openenv.GenericEnvClient(base_url=url) as env:
        first = await env.reset()
        assert first.observation["echoed_message"] == "Echo environment ready!"
        assert first.done is False
        result = await env.step({"message": "Hello, World!"})
        assert result.observation["echoed_message"] == "Hello, World!"
        assert result.observation["message_length"] == 13
        assert result.reward == pytest.approx(1.3)
        again = await env.step(openenv.GenericAction(message="again"))
        assert again.observation["echoed_message"] == "again"
        assert (await env.state())["step_count"] == 2


async def test_our_typed_client_plays_an_episode(url: str) -> None:
    async with EchoEnv(base_url=url) as env:
        first = await env.reset(episode_id="seventh")
        assert first.observation.echoed_message == "Echo environment ready!"
        result = await env.step(EchoAction(message="Hello, World!"))
        assert result.observation.message_length == 13
        assert result.reward == pytest.approx(1.3)
        state = await env.state()
        assert state.episode_id == "seventh"
        assert state.step_count == 1


def test_our_sync_client_plays_an_episode(url: str) -> None:
    with EchoEnv(base_url=url).sync() as env:
        env.reset()
        assert env.step(EchoAction(message="hi")).observation.echoed_message == "hi"
        assert env.state().step_count == 1


async def test_pipelined_steps_are_answered_in_order(url: str) -> None:
    async with EchoEnv(base_url=url) as env:
        await env.reset()
        results = await asyncio.gather(*(env.step(EchoAction(message="x" * n)) for n in range(20)))
        assert [result.observation.message_length for result in results] == list(range(20))


async def test_a_bad_action_is_a_payload_error_and_the_session_lives_on(url: str) -> None:
    async with openenv.GenericEnvClient(base_url=url) as env:
        await env.reset()
        with pytest.raises(PayloadError):
            await env.step({"words": 1})
        result = await env.step({"message": "still here"})
        assert result.observation["echoed_message"] == "still here"
        assert (await env.state())["step_count"] == 1


async def test_an_environment_that_raises_is_an_environment_fault(url: str) -> None:
    async with openenv.GenericEnvClient(base_url=url) as env:
        await env.reset()
        with pytest.raises(EnvironmentFault, match="told to raise"):
            await env.step({"message": "raise"})
        result = await env.step({"message": "still here"})
        assert result.observation["echoed_message"] == "still here"


async def test_a_cancelled_step_leaves_the_next_ones_their_own_replies(url: str) -> None:
    async with EchoEnv(base_url=url) as env:
        await env.reset()
        given_up = asyncio.create_task(env.step(EchoAction(message="given up")))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        # Whether the step ran is unknown, so the episode is over; the socket is not.
        await env.reset()
        for message in ("one", "two"):
            result = await env.step(EchoAction(message=message))
            assert result.observation.echoed_message == message


async def test_one_session_too_many_is_a_capacity_error(url: str) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(EchoEnv(base_url=url))
        await first.reset()

        async def fill() -> None:
            for _ in range(_SLOTS):
                await (await stack.enter_async_context(EchoEnv(base_url=url))).reset()

        # Not at the last one if an earlier test's session still holds a slot: theirs close late.
        with pytest.raises(SessionCapacityError) as refused:
            await fill()
        assert (refused.value.active_sessions, refused.value.max_sessions) == (_SLOTS, _SLOTS)
        assert (await first.step(EchoAction(message="mine"))).observation.echoed_message == "mine"


async def test_closing_our_client_frees_its_slot(url: str) -> None:
    async def play() -> int:
        while True:
            async with EchoEnv(base_url=url) as env:
                try:
                    await env.reset()
                except SessionCapacityError:
                    continue
                return (await env.step(EchoAction(message="x"))).observation.message_length

    async with within(20):
        assert [await play() for _ in range(2 * _SLOTS)] == [1] * 2 * _SLOTS


async def test_a_lost_socket_is_never_continued_in_a_fresh_environment(url: str) -> None:
    async with (
        within(20),
        cutting_proxy(int(url.rpartition(":")[2])) as proxy,
        EchoEnv(base_url=f"http://127.0.0.1:{proxy.port}") as env,
    ):
        await env.reset()
        await env.step(EchoAction(message="before"))
        proxy.cut()
        with pytest.raises((ConnectionLost, SessionExpired)):
            await env.step(EchoAction(message="lost"))
        with pytest.raises((ConnectionLost, SessionExpired)):
            await env.state()
        await env.reset()
        assert (await env.state()).step_count == 0


@pytest.fixture
def http(url_of_first: str) -> "Iterator[openenv.HTTPEnvClient]":
    env = openenv.HTTPEnvClient(base_url=url_of_first)
    yield env
    env.close()


def test_our_http_client_plays_with_a_server_of_the_first_release(
    http: "openenv.HTTPEnvClient",
) -> None:
    first = http.reset()
    assert first.observation["echoed_message"] == "Echo environment ready!"
    result = http.step({"message": "Hello, World!"})
    assert result.observation["message_length"] == 13
    assert result.reward == pytest.approx(1.3)
    assert result.done is False
    assert http.state()["step_count"] == 1


def test_our_http_client_outlives_a_bad_action_on_the_first_release(
    http: "openenv.HTTPEnvClient",
) -> None:
    http.reset()
    with pytest.raises(OpenEnvError):
        http.step({"words": 1})
    assert http.step({"message": "still here"}).observation["echoed_message"] == "still here"


def test_our_http_client_refuses_a_server_that_keeps_no_episode_over_http(url: str) -> None:
    env = openenv.HTTPEnvClient(base_url=url)
    with pytest.raises(ConfigurationError, match="EnvClient"):
        env.reset()
    env.close()
