"""`unix:PATH` is a URL for every client."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import openenv
from openenv.client.env import EnvClient
from openenv.client.http.client import HTTPEnvClient
from openenv.errors import ConfigurationError, ConnectError
from openenv.models import State
from openenv.recording import read
from openenv.rollout.collect import collect
from tests.environments import Add, Total
from tests.patience import within
from tests.processes import openenv as run_openenv
from tests.processes import serving_process


class CounterEnv(EnvClient[Add, Total, State]):
    pass


class HttpCounterEnv(HTTPEnvClient[Add, Total, State]):
    pass


async def test_every_client_plays_over_a_unix_socket(tmp_path: Path) -> None:
    arguments = ("tests.environments:Counter", "--uds", str(tmp_path / "env.sock"))
    async with serving_process(*arguments) as (_, url), within(40):
        async with CounterEnv(url) as env:
            assert (await env.reset(seed=3)).observation.total == 3
            assert (await env.step(Add(2))).observation.total == 5
            assert env.base_url == url
        async with openenv.connect(url) as pool:
            envs = [await pool.session(CounterEnv) for _ in range(4)]
            await pool.reset_many(envs, seeds=range(4))
            results = await pool.step_many(envs, [Add(1)] * 4)
            assert [result.observation.total for result in results] == [1, 2, 3, 4]
        await asyncio.to_thread(_play_blocking, url)
        run = await collect(url, lambda _: {"amount": 1}, episodes=5, max_turns=2)
        assert (run.episodes, run.failures, run.mean_return) == (5, 0, 2.0)
        out = tmp_path / "episodes.jsonl"
        arguments = ("collect", url, "--episodes", "3", "--max-turns", "2", "--out", str(out))
        collected = await asyncio.to_thread(run_openenv, *arguments)
        assert collected.returncode == 0, collected.stderr
        assert sum(1 for _ in read(out)) == 3


def _play_blocking(url: str) -> None:
    for client in (CounterEnv(url).sync(), HttpCounterEnv(url)):
        one: Any = client
        with one as env:
            assert env.reset(seed=7).observation.total == 7
            assert env.step(Add(1)).observation.total == 8


@pytest.mark.parametrize("client", [CounterEnv, HttpCounterEnv])
async def test_a_socket_that_is_not_there_is_a_connect_error(client: Any, tmp_path: Path) -> None:
    def play() -> None:
        made = client(f"unix:{tmp_path}/none.sock")
        env: Any = made if isinstance(made, HTTPEnvClient) else made.sync()
        with pytest.raises(ConnectError, match=r"none\.sock"):
            env.reset()

    await asyncio.to_thread(play)


async def test_a_url_without_a_path_is_said_to_be_wrong() -> None:
    with pytest.raises(ConfigurationError, match=r"unix:/run"):
        await CounterEnv("unix:").connect()


def test_a_command_names_the_socket_that_is_not_there(tmp_path: Path) -> None:
    run = run_openenv("collect", f"unix:{tmp_path}/none.sock")
    assert run.returncode == 1
    [line] = run.stderr.splitlines()
    assert "none.sock" in line
