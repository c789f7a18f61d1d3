"""Worker processes of a real server: none outlives it, and none speaks when nobody asked."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
import urllib.request
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

import openenv
from openenv.app import create_app
from openenv.errors import SessionExpired, WorkerDied
from openenv.server.config import ServerConfig
from openenv.testing.chaos import cutting_proxy
from tests.environments import Counter
from tests.patience import within
from tests.processes import ENVIRON, OPENENV, Gate, serving_process
from tests.serving import serving

ROOT = Path(__file__).parents[2]
DEADLY = ("tests.worker_environments:Deadly", "--port", "0", "--workers", "2")


def is_running(pid: int) -> bool:
    """Whether the process lives: a zombie, which nobody has waited for yet, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def ended(pids: set[int]) -> None:
    async with within(10):
        while any(is_running(pid) for pid in pids):
            await asyncio.sleep(0.005)


async def begin(pool: openenv.Pool, sessions: int) -> tuple[list[Any], list[int]]:
    envs = [await pool.session() for _ in range(sessions)]
    return envs, [(await env.reset()).observation["pid"] for env in envs]


@pytest.mark.parametrize("busy", [{"do": "sleep", "s": 60}, None])
async def test_a_server_that_is_killed_leaves_no_worker(busy: dict[str, Any] | None) -> None:
    async with (
        serving_process(*DEADLY) as (process, url),
        openenv.connect(url, connections=1) as pool,
    ):
        envs, pids = await begin(pool, 2)
        assert len(set(pids)) == 2
        steps = [asyncio.create_task(env.step(busy)) for env in envs if busy]
        await asyncio.sleep(0)
        process.kill()
        await ended(set(pids))
        for step in steps:
            step.cancel()
        await asyncio.gather(*steps, return_exceptions=True)


async def test_what_a_dead_worker_has_forked_neither_hides_its_death_nor_survives_it() -> None:
    """It would hold the socket."""
    async with serving_process(*DEADLY) as (_, url), openenv.connect(url) as pool:
        [env], [pid] = await begin(pool, 1)
        child = (await env.step({"do": "fork"})).observation["child"]
        assert is_running(child)
        os.kill(pid, signal.SIGKILL)
        async with within(10):
            with pytest.raises(WorkerDied):
                while True:
                    await env.step({})
        await ended({child})


async def test_a_worker_without_its_server_ends_by_itself() -> None:
    """Also where no signal tells it so: its socket has ended."""
    code = (
        "import openenv.server.workers.program as worker, sys\n"
        "worker._die_with = lambda _: None\n"
        "worker.main()"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, "0", str(theirs.fileno())),
            pass_fds=(theirs.fileno(),),
            env=ENVIRON,
        )
    async with within(20):
        assert await process.wait() == 0


async def test_a_step_that_runs_is_finished_when_the_server_is_told_to_stop(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    async with (
        serving_process("gated:Gated", "--port", "0", "--workers", "2", cwd=tmp_path) as (
            process,
            url,
        ),
        openenv.connect(url, connections=1) as pool,
    ):
        busy, idle = await pool.session(), await pool.session()
        for env in (busy, idle):
            await env.reset()
        running = asyncio.create_task(busy.step({"wait": True}))
        await gate.wait()
        process.send_signal(signal.SIGTERM)
        async with within(20):
            with pytest.raises(SessionExpired, match="shutting down"):
                while True:
                    await idle.step({})
        await gate.open()
        assert (await running).observation == {"passed": True}
        async with within(20):
            assert await process.wait() == 0


async def test_ctrl_c_in_a_terminal_ends_server_and_workers_without_a_word() -> None:
    """A terminal signals all processes of its group."""
    process = await asyncio.create_subprocess_exec(
        *(*OPENENV, "serve", *DEADLY), env=ENVIRON, stdout=PIPE, stderr=PIPE, process_group=0
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        assert "(1,024 sessions, 2 worker processes)" in line
        async with openenv.connect(line.split()[-1], connections=1) as pool:
            _, pids = await begin(pool, 2)
            os.killpg(process.pid, signal.SIGINT)
            async with within(20):
                _, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, complaints) == (0, b"")
    await ended(set(pids))


async def test_a_worker_leaves_signals_to_the_server() -> None:
    async with serving_process(*DEADLY) as (_, url), openenv.connect(url) as pool:
        [env], [pid] = await begin(pool, 1)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
            assert (await env.step({})).observation["pid"] == pid


async def test_steps_run_exactly_once_while_sockets_are_cut() -> None:
    chance = random.Random(5)

    def budget() -> tuple[int, int]:
        return chance.randint(700, 2500), chance.randint(400, 2500)

    async with (
        serving(create_app(Counter, config=ServerConfig(workers=2))) as url,
        cutting_proxy(int(url.rsplit(":", 1)[1]), budget) as proxy,
        openenv.connect(f"http://127.0.0.1:{proxy.port}", connections=1) as pool,
        within(50),
    ):

        async def episode(env: Any) -> None:
            total = (await env.reset(seed=3)).observation["total"]
            for amount in range(1, 101):
                total += amount
                assert (await env.step({"amount": amount})).observation["total"] == total
            assert (await env.state())["step_count"] == 100

        await asyncio.gather(*[episode(await pool.session()) for _ in range(4)])
        assert proxy.cuts >= 5


async def test_what_environments_print_goes_to_the_servers_stderr() -> None:
    async with serving_process(*DEADLY) as (process, url), openenv.connect(url) as pool:
        [env], _ = await begin(pool, 1)
        await env.step({"do": "print"})
        assert process.stderr is not None
        assert await process.stderr.readline() == b"printed by the environment\n"


async def test_health_counts_workers_and_a_killed_one_is_replaced() -> None:
    async with serving_process(*DEADLY) as (_, url), openenv.connect(url) as pool:
        envs, pids = await begin(pool, 2)
        os.kill(pids[0], signal.SIGKILL)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            while True:
                await envs[0].step({})
        assert (await envs[1].step({})).observation["pid"] == pids[1]
        async with within(20):
            while (found := await asyncio.to_thread(health, url))["status"] != "healthy":
                await asyncio.sleep(0.01)
        assert found["workers"] == {"count": 2, "running": 2, "blocked": 0, "restarts": 1}
        assert (await envs[0].reset()).observation["pid"] not in pids


def health(url: str) -> Any:
    try:
        with urllib.request.urlopen(f"{url}/health") as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        return json.load(error)


async def test_an_environments_folder_is_served_from_anywhere(tmp_path: Path) -> None:
    folder = str(ROOT / "envs/echo_env")
    environ = {"PYTHONPATH": ""}
    async with (
        serving_process(
            folder, "--execution", "process", "--port", "0", cwd=tmp_path, environ=environ
        ) as (_, url),
        openenv.connect(url) as pool,
    ):
        env = await pool.session()
        await env.reset()
        result = await env.step({"message": "hello"})
        assert result.observation["echoed_message"] == "hello"
