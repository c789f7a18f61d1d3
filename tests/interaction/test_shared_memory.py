"""Large arrays go through memory that both sides share, and nobody notices but the clock."""

import asyncio
import gc
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from openenv.app import create_app
from openenv.client.env import EnvClient
from openenv.client.pool import connect
from openenv.environment import Environment
from openenv.errors import ConfigurationError, ConnectionLost, OpenEnvError, SessionExpired
from openenv.models import Action, State
from openenv.protocol import pieces
from openenv.server.config import ServerConfig
from openenv.testing.chaos import cutting_proxy
from tests.interaction.worlds import world
from tests.patience import within
from tests.processes import ENVIRON, serving_process
from tests.serving import serving

SHAPE = (210, 160, 3)


@pytest.fixture(autouse=True)
def _collected() -> None:
    # An error that somebody has kept may hold the memory of a connection that is gone.
    gc.collect()


@dataclass(kw_only=True)
class Press(Action):
    button: int = 0


@dataclass
class Screen:
    pixels: NDArray[np.uint8]
    views: list[dict[str, Any]]


def image(seed: int, turn: int) -> NDArray[np.uint8]:
    return np.random.default_rng((seed, turn)).integers(0, 256, SHAPE, np.uint8)


class Screens(Environment[Press, Screen, State]):
    """Shows what its seed and the number of the turn say, so that any other image is noticed."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self, seed: int | None = None) -> Screen:
        self.seed, self.turn = seed or 0, 0
        return self._show()

    def step(self, action: Press) -> Screen:
        self.turn += 1
        return self._show()

    def _show(self) -> Screen:
        pixels = image(self.seed, self.turn)
        return Screen(pixels, [{"name": "inverse", "pixels": 255 - pixels}])


class ThreadScreens(Screens):
    execution = "thread"


class ScreensEnv(EnvClient[Press, Screen, State]):
    pass


def check(screen: Any, seed: int, turn: int) -> None:
    assert np.array_equal(screen.pixels, image(seed, turn))
    assert np.array_equal(screen.views[0]["pixels"], 255 - image(seed, turn))


async def play(env: Any, seed: int, turns: int) -> list[Any]:
    """Play, look at every image at once, and return them to be looked at again."""
    screens = [(await env.reset(seed=seed)).observation]
    for turn in range(turns):
        check(screens[-1], seed, turn)
        screens.append((await env.step(Press())).observation)
    return screens


def shares(registry: Any) -> list[bool]:
    """Return of each link whether its arrays go through shared memory."""
    return [link.protocol.writer is not None for link in registry.links.values()]


def segments(pid: int | str = "self") -> int:
    """Return how many segments a process has made, which are its open files."""
    files = Path(f"/proc/{pid}/fd")
    return sum(_name(path).startswith(f"/memfd:{pieces.SEGMENT_NAME} ") for path in files.iterdir())


def _name(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("transport", ["websocket", "memory", "asgi"])
@pytest.mark.parametrize("environment", [Screens, ThreadScreens])
async def test_images_stay_as_they_were_received(transport: str, environment: Any) -> None:
    async with world(transport, environment) as w:
        env = await w.client(ScreensEnv)
        screens = await play(env, 7, 8)
        assert shares(w.registry) == [True]
        for turn, screen in enumerate(screens):
            check(screen, 7, turn)
    assert segments() == 0


@pytest.mark.parametrize("transport", ["json", "http"])
async def test_what_is_text_shares_no_memory(transport: str) -> None:
    async with world(transport, Screens) as w:
        env = await w.client(ScreensEnv)
        await play(env, 7, 3)
        assert True not in shares(w.registry)
        assert segments() == 0


async def test_it_can_be_switched_off() -> None:
    async with world("websocket", Screens, config=ServerConfig(shared_memory_bytes=0)) as w:
        await play(await w.client(ScreensEnv), 7, 3)
        assert shares(w.registry) == [False]
        assert segments() == 0


def test_less_than_nothing_is_no_setting() -> None:
    with pytest.raises(ConfigurationError, match="shared_memory_bytes must be 0 or greater"):
        ServerConfig(shared_memory_bytes=-1)


async def test_small_observations_share_nothing() -> None:
    class Small(Environment[Any, Any, Any]):
        def reset(self) -> Any:
            return {"pixels": np.zeros(1000, np.uint8)}

        def step(self, action: Any) -> Any:
            return self.reset()

    async with world("websocket", Small) as w:
        env = await w.client()
        await env.reset()
        await env.step({})
        assert shares(w.registry) == [False]
        assert segments() == 0


@pytest.mark.parametrize("shared_memory_bytes", [1 << 26, 700_000, 100_000])
async def test_many_sessions_share_what_there_is(shared_memory_bytes: int) -> None:
    config = ServerConfig(shared_memory_bytes=shared_memory_bytes)
    app = create_app(Screens, config=config)
    async with serving(app) as url, connect(url) as pool, within(50):
        envs = await pool.sessions(12, ScreensEnv)
        played = await asyncio.gather(*(play(env, seed, 8) for seed, env in enumerate(envs)))
        assert shares(app.state.registry) == [True, True]
        await pool.reset_many(envs, seeds=range(12))
        for turn in range(1, 4):
            results = await pool.step_many(envs, [Press()] * 12)
            for seed, result in enumerate(results):
                check(result.observation, seed, turn)
        for seed, screens in enumerate(played):
            for turn, screen in enumerate(screens):
                check(screen, seed, turn)


async def test_sockets_are_cut_anywhere_and_every_image_is_the_right_one() -> None:
    random_bytes = random.Random(5)
    app = create_app(Screens)

    def budget() -> tuple[int, int]:
        if True not in shares(app.state.registry):
            # The first images come as bytes. All others are a few hundred in the socket.
            return 1 << 30, 1 << 30
        return random_bytes.randint(700, 2500), random_bytes.randint(400, 2500)

    async with (
        serving(app) as url,
        cutting_proxy(int(url.rsplit(":", 1)[1]), budget) as proxy,
        connect(f"http://127.0.0.1:{proxy.port}", connections=1) as pool,
        within(50),
    ):
        envs = await pool.sessions(3, ScreensEnv)
        await play(envs[0], 1, 3)
        proxy.cut()
        await asyncio.gather(*(play(env, seed, 60) for seed, env in enumerate(envs)))
        assert proxy.cuts >= 5
        assert shares(app.state.registry) == [True]


async def test_each_link_has_memory_of_its_own_which_ends_with_it() -> None:
    app = create_app(Screens, config=ServerConfig(max_concurrent_envs=4))
    async with serving(app) as url:
        async with ScreensEnv(url) as one:
            await play(one, 1, 3)
            async with ScreensEnv(url) as other:
                await asyncio.gather(play(one, 1, 3), play(other, 2, 3))
                assert shares(app.state.registry) == [True, True]
                # Each process is both sides: a file that is written, and one that is mapped.
                assert segments() == 4
            async with within(5):
                while segments() > 2:
                    await asyncio.sleep(0.01)
            await play(one, 3, 3)
        async with within(5):
            while segments():
                await asyncio.sleep(0.01)


SERVED = f"{__name__}:Screens"
CLIENT = f"""
import asyncio, os, sys
from {__name__} import *

async def main():
    async with ScreensEnv(sys.argv[1]) as env:
        image(0, 0)  # imports what another user cannot read
        if sys.argv[2] != "0":
            os.setgroups([])
            os.setuid(int(sys.argv[2]))
        await play(env, 3, 6)
        print("played", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


async def start_client(url: str, uid: int = 0) -> Any:
    """A process that has played, and stays connected."""
    command = (sys.executable, "-c", CLIENT, url, str(uid))
    process = await create_subprocess_exec(*command, env=ENVIRON, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    async with within(20):
        said = await process.stdout.readline()
    if said != b"played\n":
        process.kill()
    assert said == b"played\n"
    return process


async def test_a_killed_client_leaves_nothing_behind() -> None:
    named = sorted(os.listdir("/dev/shm"))
    app = create_app(Screens, config=ServerConfig(grace_s=0.1))
    async with serving(app) as url:
        client = await start_client(url)
        assert (shares(app.state.registry), segments()) == ([True], 1)
        client.kill()
        await client.communicate()
        async with within(10):
            while segments():
                await asyncio.sleep(0.01)
    assert sorted(os.listdir("/dev/shm")) == named


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
async def test_a_client_of_another_user_gets_bytes_and_is_asked_once() -> None:
    app = create_app(Screens)
    async with serving(app) as url:
        client = await start_client(url, uid=65534)
        try:
            assert (shares(app.state.registry), segments()) == ([False], 0)
        finally:
            client.kill()
            await client.communicate()


@pytest.mark.parametrize("is_unix", [False, True], ids=["tcp", "unix"])
async def test_a_killed_server_leaves_nothing_behind(is_unix: bool, tmp_path: Path) -> None:
    named = sorted(os.listdir("/dev/shm"))
    listening = ("--uds", str(tmp_path / "socket")) if is_unix else ("--port", "0")
    environ = {"OPENENV_GRACE_S": "0.3"}
    async with serving_process(SERVED, *listening, environ=environ) as (server, url):
        env = ScreensEnv(url)
        screens = await play(env, 4, 5)
        assert segments(server.pid) == 1
        assert segments() == 1
        server.send_signal(signal.SIGKILL)
        await server.wait()
        with pytest.raises(ConnectionLost):
            await env.step(Press())
        assert segments() == 0
        await env.close()
        for turn, screen in enumerate(screens):
            check(screen, 4, turn)
    assert sorted(os.listdir("/dev/shm")) == named


async def test_a_server_that_names_what_is_not_there_loses_its_link() -> None:
    async with world("websocket", Screens) as w:
        env = await w.client(ScreensEnv)
        await play(env, 1, 3)
        [link] = w.registry.links.values()

        class Lying:
            def encode(self, message: Any) -> tuple[bytes, int]:
                return pieces.write([b"", b""], [(1 << 40, 5)]), 5

        link.protocol.writer = Lying()
        with pytest.raises(OpenEnvError, match="a segment of"):
            await env.step(Press())
        with pytest.raises((ConnectionLost, SessionExpired)):
            await env.step(Press())
