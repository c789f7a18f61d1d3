"""The blocking client: the same episodes without `await`, wherever it is called from."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from envs.echo_env import EchoAction, EchoEnv
from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app
from openenv.client.blocking.sync import SyncEnvClient
from openenv.errors import ConfigurationError, NotReset
from tests.patience import patient
from tests.serving import serving


@contextmanager
def served_elsewhere() -> Iterator[str]:
    """An echo server in a thread with an event loop of its own."""
    ready, stop = threading.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with serving(create_app(EchoEnvironment)) as url:
            urls.append(url)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(patient(10))
        yield urls[0]
    finally:
        stop.set()
        thread.join()


def play(url: str) -> float:
    with EchoEnv(url).sync() as env:
        assert env.reset().observation.echoed_message == "Echo environment ready!"
        result = env.step(EchoAction(message="Hello, World!"))
        assert result.observation.echoed_message == "Hello, World!"
        assert env.state().step_count == 1
        assert isinstance(result.reward, float)
        return result.reward


def test_an_episode_without_await() -> None:
    with served_elsewhere() as url:
        assert play(url) == 1.3


def test_it_works_inside_a_running_event_loop() -> None:
    async def inside(url: str) -> float:
        return play(url)

    with served_elsewhere() as url:
        assert asyncio.run(inside(url)) == 1.3


def test_it_works_in_many_threads_at_once() -> None:
    rewards: list[float] = []
    with served_elsewhere() as url:
        threads = [threading.Thread(target=lambda: rewards.append(play(url))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert rewards == [1.3] * 8


FORKING = """
import os, sys
from envs.echo_env import EchoAction, EchoEnv

def play(url):
    with EchoEnv(url).sync() as env:
        env.reset()
        return env.step(EchoAction(message="Hello, World!")).reward

assert play(sys.argv[1]) == 1.3
child = os.fork()
if child == 0:
    os._exit(0 if play(sys.argv[1]) == 1.3 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_it_works_in_the_child_of_a_fork() -> None:
    # In a process of its own: the test's has threads that a fork may catch holding a lock.
    with served_elsewhere() as url:
        command = [sys.executable, "-c", FORKING, url]
        assert subprocess.run(command, timeout=patient(20), check=False).returncode == 0


def test_errors_are_raised_where_the_call_was_made() -> None:
    with served_elsewhere() as url, EchoEnv(url).sync() as env, pytest.raises(NotReset):
        env.step(EchoAction(message="too early"))


def test_a_stream_of_a_plain_step_is_its_one_result() -> None:
    with served_elsewhere() as url, EchoEnv(url).sync() as env:
        env.reset()
        assert [result.reward for result in env.stream(EchoAction(message="abc"))] == [
            pytest.approx(0.3)
        ]


def test_from_url_gives_a_generic_client() -> None:
    with served_elsewhere() as url, SyncEnvClient.from_url(url) as env:
        assert env.reset().observation["echoed_message"] == "Echo environment ready!"
        assert env.base_url == url
        assert env.session_token is not None


def test_a_client_used_from_a_second_loop_says_so() -> None:
    async def step(env: EchoEnv) -> None:
        await env.step(EchoAction(message="x"))

    async def begin(url: str) -> None:
        env = EchoEnv(url)
        await env.reset()
        with pytest.raises(ConfigurationError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, step(env))
        await env.close()

    with served_elsewhere() as url:
        asyncio.run(begin(url))


def test_a_client_made_outside_of_a_loop_works_inside_one() -> None:
    with served_elsewhere() as url:
        env = EchoEnv(url)

        async def use() -> None:
            async with env:
                await env.reset()

        asyncio.run(use())
