"""Clients of what a provider starts: awaited or used as they are; nothing is left of a failure."""

import asyncio
import gc
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from envs.echo_env import EchoAction, EchoEnv
from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app
from openenv.client.blocking import portal
from openenv.client.generic import GenericEnvClient
from openenv.errors import LocalProtocolError, StartupTimeout
from openenv.providers.base import ContainerProvider
from tests.patience import patient, within
from tests.serving import serving_elsewhere

READY = "Echo environment ready!"


class ThreadProvider:
    """A provider as others write them: three blocking calls, and no base class of ours."""

    def __init__(self) -> None:
        self.started: list[tuple[Any, ...]] = []
        self.stopped = 0
        self.has_stopped = threading.Event()
        self.is_ready = True
        self._stack = ExitStack()

    def start_container(self, image: str, port: int | None = None, **options: Any) -> str:
        self.started.append((image, port, options))
        app = create_app(EchoEnvironment)
        return self._stack.enter_context(serving_elsewhere(app))

    def wait_for_ready(self, base_url: str, timeout_s: float = 30.0) -> None:
        if not self.is_ready:
            raise StartupTimeout(f"not ready within {timeout_s} s")

    def stop_container(self) -> None:
        self.stopped += 1
        self._stack.close()
        self.has_stopped.set()


@pytest.fixture
def provider() -> ThreadProvider:
    return ThreadProvider()


async def test_three_blocking_calls_are_enough_for_a_provider_of_containers() -> None:
    class Mine(ThreadProvider, ContainerProvider):
        """One that says whose kind it is, and has `open` and `aclose` therefore."""

    mine = Mine()
    endpoint = await mine.open("echo", 7, memory="1g")
    assert mine.started == [("echo", 7, {"memory": "1g"})]
    async with EchoEnv.from_docker_image("echo", mine) as env:
        assert (await env.reset()).observation.echoed_message == READY
        assert env.base_url != endpoint.url
    assert await mine.how_it_ended() is None
    assert mine.stopped == 1


# ---- one call, two ways to use what it returns


def test_blocking_code_uses_it_as_it_is(provider: ThreadProvider) -> None:
    env = EchoEnv.from_docker_image("echo", provider, port=7, memory="1g")
    # At once, as a failure should appear in this line.
    assert provider.started == [("echo", 7, {"memory": "1g"})]
    assert env.reset().observation.echoed_message == READY
    assert env.step(EchoAction(message="hi")).observation.echoed_message == "hi"
    env.close()
    assert provider.stopped == 1


def test_blocking_code_may_leave_closing_to_with(provider: ThreadProvider) -> None:
    with EchoEnv.from_docker_image("echo", provider) as env:
        assert env.reset().observation.echoed_message == READY
    assert provider.stopped == 1


def test_what_nobody_holds_any_more_is_stopped(provider: ThreadProvider) -> None:
    env = EchoEnv.from_docker_image("echo", provider)
    env.reset()
    env = None
    gc.collect()
    assert provider.has_stopped.wait(patient(10))
    assert provider.stopped == 1


def test_the_client_underneath_may_outlive_it(provider: ThreadProvider) -> None:
    env = EchoEnv.from_docker_image("echo", provider)
    env.reset()
    client, env = env.async_client, None
    gc.collect()
    assert portal.run(client.reset).observation.echoed_message == READY
    portal.run(client.close)
    assert provider.stopped == 1


async def test_async_code_awaits_it(provider: ThreadProvider) -> None:
    env = await EchoEnv.from_docker_image("echo", provider)
    assert type(env) is EchoEnv
    assert (await env.reset()).observation.echoed_message == READY
    await env.close()
    assert provider.stopped == 1


async def test_async_with_awaits_and_closes_it(provider: ThreadProvider) -> None:
    async with EchoEnv.from_docker_image("echo", provider) as env:
        assert (await env.reset()).observation.echoed_message == READY
    assert provider.stopped == 1


async def test_nothing_is_started_before_it_is_used(provider: ThreadProvider) -> None:
    env = EchoEnv.from_docker_image("echo", provider)
    env.close()
    assert (provider.started, provider.stopped) == ([], 0)


async def test_a_notebook_uses_it_as_it_is_inside_its_event_loop(provider: ThreadProvider) -> None:
    env = EchoEnv.from_docker_image("echo", provider)
    assert env.reset().observation.echoed_message == READY
    env.close()
    assert provider.stopped == 1


@pytest.mark.parametrize("form", ["run", "task", "gather", "wait_for"])
def test_it_is_a_coroutine_for_asyncio(provider: ThreadProvider, form: str) -> None:
    async def play(env: EchoEnv) -> str:
        async with env:
            return (await env.reset()).observation.echoed_message

    async def main(made: Any = None) -> str:
        either = made or EchoEnv.from_docker_image("echo", provider)
        if form == "task":
            return await play(await asyncio.create_task(either))
        if form == "gather":
            return await play((await asyncio.gather(either))[0])
        return await play(await asyncio.wait_for(either, patient(10)))

    # Made where no loop runs it starts at once, and is connected in another loop than that.
    made = EchoEnv.from_docker_image("echo", provider) if form == "run" else None
    assert len(provider.started) == (form == "run")
    assert asyncio.run(main(made)) == READY
    assert (len(provider.started), provider.stopped) == (1, 1)


async def test_it_is_one_or_the_other(provider: ThreadProvider) -> None:
    either = EchoEnv.from_docker_image("echo", provider)
    env = await either
    with pytest.raises(LocalProtocolError):
        either.reset()
    await env.close()
    blocking = EchoEnv.from_docker_image("echo", provider)
    blocking.reset()
    with pytest.raises(LocalProtocolError):
        await blocking
    blocking.close()
    assert provider.stopped == 2


async def test_a_task_that_is_cancelled_before_it_begins_starts_nothing(
    provider: ThreadProvider,
) -> None:
    task = asyncio.create_task(EchoEnv.from_docker_image("echo", provider))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.started == []


def test_what_was_started_before_that_is_stopped_by_close(provider: ThreadProvider) -> None:
    either = EchoEnv.from_docker_image("echo", provider)

    async def main() -> None:
        task = asyncio.create_task(either)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (len(provider.started), provider.stopped) == (1, 0)
    either.close()
    assert provider.stopped == 1


# ---- what fails is undone


def test_what_is_not_ready_is_stopped(provider: ThreadProvider) -> None:
    provider.is_ready = False
    with pytest.raises(StartupTimeout, match="within 3 s"):
        EchoEnv.from_docker_image("echo", provider, timeout_s=3)
    assert (len(provider.started), provider.stopped) == (1, 1)


async def test_a_provider_that_refuses_goes_on_with_what_it_runs() -> None:
    class Busy(ThreadProvider):
        def start_container(self, image: str, port: int | None = None, **options: Any) -> str:
            raise LocalProtocolError("it runs one already")

    provider = Busy()
    with pytest.raises(LocalProtocolError):
        await GenericEnvClient.from_docker_image("echo", provider)
    assert provider.stopped == 0


async def test_cancelled_while_it_is_started_it_is_stopped(provider: ThreadProvider) -> None:
    began, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    start = provider.start_container

    def start_when_released(image: str, port: int | None = None, **options: Any) -> str:
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
        return start(image, port, **options)

    provider.start_container = start_when_released  # type: ignore[method-assign]
    task = asyncio.create_task(EchoEnv.from_docker_image("echo", provider))
    async with within(10):
        await began.wait()
        task.cancel()
        loop.call_soon(release.set)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (len(provider.started), provider.stopped) == (1, 1)
