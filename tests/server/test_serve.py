"""A server starts, says so, and ends well."""

import asyncio
import gc
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any, ClassVar

import pytest
from starlette.applications import Starlette
from websockets.asyncio.client import unix_connect

import openenv
from openenv.app import create_app
from openenv.environment import Environment
from openenv.errors import ConfigurationError, ServerClosing, SessionError, SessionExpired
from openenv.rollout.source import in_process
from openenv.server.config import ServerConfig
from openenv.server.host import make_registry
from openenv.server.http.http_server import HTTPEnvServer
from openenv.server.serve import (
    GC_THRESHOLDS,
    PONG_TIMEOUT_S,
    DrainingServer,
    configure_logging,
    listening,
    url_of,
)
from tests.environments import Add, Counter, Total
from tests.patience import within
from tests.processes import Gate, serving_process
from tests.processes import openenv as run_openenv


async def drained(pool: openenv.Pool) -> None:
    """Return when the server takes no new sessions any more."""
    async with within(20):
        while True:
            try:
                await (await pool.session(wait_s=0.0)).close()
            except ServerClosing:
                return


async def test_sigterm_lets_a_running_step_finish_and_tells_the_client(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    async with (
        serving_process("gated:Gated", "--port", "0", cwd=tmp_path) as (process, url),
        openenv.connect(url, connections=1) as pool,
    ):
        busy, idle = await pool.session(), await pool.session()
        for env in (busy, idle):
            await env.reset()
        running = asyncio.create_task(busy.step({"wait": True}))
        await gate.wait()
        queued = asyncio.create_task(busy.step({}))

        process.send_signal(signal.SIGTERM)
        await drained(pool)
        with pytest.raises(SessionExpired, match="shutting down"):
            await idle.step({})
        with pytest.raises(SessionExpired, match="shutting down"):
            await queued
        await gate.open()

        assert (await running).observation == {"passed": True}
        with pytest.raises(SessionError, match="shutting down"):
            await busy.step({})
        async with within(20):
            assert await process.wait() == 0


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    async with (
        serving_process("gated:Gated", "--port", "0", cwd=tmp_path) as (process, url),
        openenv.connect(url, connections=1) as pool,
    ):
        env = await pool.session()
        await env.reset()
        hanging = asyncio.create_task(env.step({"wait": True}))
        await gate.wait()
        process.send_signal(signal.SIGINT)
        await drained(pool)
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        async with within(20):
            assert await process.wait() == -signal.SIGTERM
        hanging.cancel()
        await asyncio.wait([hanging])


async def test_draining_waits_no_longer_than_configured() -> None:
    registry = make_registry(Waiting, config=ServerConfig(drain_timeout_s=0.05))
    Waiting.event, Waiting.closed = asyncio.Event(), 0
    async with in_process(registry) as pool, within(20):
        env = await pool.session()
        await env.reset()
        step = asyncio.create_task(env.step({}))
        await asyncio.sleep(0)
        await registry.drain()
        with pytest.raises(SessionExpired, match="shutting down"):
            await step
    assert Waiting.closed == 1


async def test_draining_lets_an_async_step_finish() -> None:
    registry = make_registry(Waiting)
    Waiting.event, Waiting.began, Waiting.closed = asyncio.Event(), asyncio.Event(), 0
    async with in_process(registry) as pool, within(20):
        env = await pool.session()
        await env.reset()
        step = asyncio.create_task(env.step({}))
        await Waiting.began.wait()
        draining = asyncio.create_task(registry.drain())
        await asyncio.sleep(0)
        Waiting.event.set()
        assert (await step).observation == {}
        await draining
        assert registry.sessions == {}
    assert Waiting.closed == 1


async def test_who_waits_for_a_slot_is_told_of_the_shutdown() -> None:
    registry = make_registry(Counter, config=ServerConfig(max_concurrent_envs=1))
    async with in_process(registry) as pool, within(20):
        holder = await pool.session()
        waiting = asyncio.create_task(pool.session())
        await asyncio.sleep(0)
        await holder.reset()
        assert len(registry.sessions) == 2
        await registry.drain()
        with pytest.raises(ServerClosing):
            await waiting


class Waiting(Environment[dict[str, Any], dict[str, Any]]):
    SUPPORTS_CONCURRENT_SESSIONS = True
    event: ClassVar[asyncio.Event]
    began: ClassVar[asyncio.Event] = asyncio.Event()
    closed: ClassVar[int] = 0

    async def reset(self) -> dict[str, Any]:
        return {}

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:
        Waiting.began.set()
        await Waiting.event.wait()
        return {}

    def close(self) -> None:
        Waiting.closed += 1


async def test_a_server_can_be_started_and_stopped_inside_a_loop() -> None:
    collected = gc.get_threshold()
    ready = asyncio.get_running_loop().create_future()
    with listening("127.0.0.1", 0) as listener:
        url = url_of(listener)
        server = DrainingServer(create_app(Counter), url, tune_gc=True, ready=ready.set_result)
        assert server.config.ws_ping_timeout == PONG_TIMEOUT_S
        try:
            running = asyncio.create_task(server._serve([listener]))
            async with within(20):
                assert await ready == url
                async with openenv.GenericEnvClient(url) as env:
                    assert (await env.reset()).observation == {"total": 0}
                assert gc.get_threshold() == GC_THRESHOLDS
                assert gc.get_freeze_count() > 0
                server.handle_exit(signal.SIGTERM, None)
                await running
        finally:
            gc.unfreeze()
            gc.set_threshold(*collected)


async def test_an_app_with_mounted_routes_is_drained_too() -> None:
    app = Starlette()
    HTTPEnvServer(Counter, Add, Total).register_routes(app)
    with listening("127.0.0.1", 0) as listener:
        ready = asyncio.get_running_loop().create_future()
        serving = DrainingServer(app, url_of(listener), ready=ready.set_result)
        running = asyncio.create_task(serving._serve([listener]))
        async with within(20), openenv.connect(await ready, connections=1) as pool:
            env = await pool.session()
            await env.reset()
            serving.handle_exit(signal.SIGTERM, None)
            await drained(pool)
            with pytest.raises(SessionExpired, match="shutting down"):
                await env.step({})
            await running


async def test_a_unix_socket_is_served_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "env.sock"
    (tmp_path / "counting.py").write_text("from tests.environments import Counter\n")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    arguments = ("tests.environments:Counter", "--uds", str(path))
    async with serving_process(*arguments) as (process, url):
        assert url == f"unix:{path}"
        async with unix_connect(str(path), "ws://localhost/ws") as socket_:
            await socket_.send('{"type": "reset"}')
            assert json.loads(await socket_.recv())["data"]["observation"] == {"total": 0}
        process.send_signal(signal.SIGTERM)
        async with within(20):
            assert await process.wait() == 0
    assert not path.exists()


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = run_openenv("serve", "tests.environments:Counter", "--port", str(port))
    assert run.returncode == 1
    [line] = run.stderr.splitlines()
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


@pytest.mark.parametrize(
    ("host", "port", "uds", "complaint"),
    [
        ("no.such.host.invalid", 0, None, "cannot listen on no.such.host.invalid:0"),
        ("127.0.0.1", 70_000, None, "from 0 to 65535"),
        ("", 0, "/no/such/folder/env.sock", "No such file or directory"),
        ("", 0, __file__, "not a socket"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(
    host: str, port: int, uds: str | None, complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint), listening(host, port, uds):
        pass


def test_a_unix_socket_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "env.sock")
    with listening("", 0, path):
        with pytest.raises(ConfigurationError, match="another server"), listening("", 0, path):
            pass
        assert os.path.exists(path)


def test_urls_name_the_host_as_it_was_given() -> None:
    with listening("localhost", 0) as listener:
        assert url_of(listener, "localhost").startswith("http://localhost:")
    with listening("::1", 0) as listener:
        assert url_of(listener, "::1").startswith("http://[::1]:")


def test_an_unknown_log_level_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="verbose"):
        configure_logging("verbose")
