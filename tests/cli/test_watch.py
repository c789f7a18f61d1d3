"""`openenv watch` shows the sessions of a server that allows it."""

import asyncio
import json
import os
import pty
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import openenv as package
from openenv.cli.commands import watch as commands
from openenv.client.watch import WatchEvent
from tests.patience import within
from tests.processes import ENVIRON, OPENENV, ROOT, openenv, serving_process


@asynccontextmanager
async def being_played(*options: str) -> AsyncIterator[str]:
    """A server on which somebody plays: two sessions, each with a step."""
    target = str(ROOT / "envs/echo_env")
    async with (
        serving_process(target, "--port", "0", *options) as (_, url),
        package.connect(url) as pool,
    ):
        for label in ("play/1", "other"):
            env = await pool.session(label=label)
            await env.reset(episode_id=f"episode of {label}")
            await env.step({"message": "Hello"})
        yield url


async def test_a_table_of_the_sessions() -> None:
    async with being_played("--watch") as url:
        run = await asyncio.to_thread(openenv, "watch", url)
        assert (run.returncode, run.stderr) == (0, "")
        lines = [line.split() for line in run.stdout.splitlines()]
        assert lines[0] == ["label", "episode", "step", "reward", "total", "steps/s", "age"]
        assert [line[0] for line in lines[1:3]] == ["other", "play/1"]
        assert lines[2][1:5] == ["episode", "of", "play/1", "1"]
        assert lines[3] == ["2", "sessions"]


async def test_on_a_terminal_the_table_is_live() -> None:
    ours, theirs = pty.openpty()
    async with being_played("--watch") as url, within(20):
        process = await asyncio.create_subprocess_exec(
            *(*OPENENV, "watch", url), stdout=theirs, stderr=PIPE, env=ENVIRON | {"TERM": "xterm"}
        )
        os.close(theirs)
        try:
            await until_shown(ours, b"2 sessions")
            async with package.connect(url) as pool:
                await pool.session(label="play/2")
                await until_shown(ours, b"3 sessions")
            await until_shown(ours, b"2 sessions")
            process.send_signal(signal.SIGINT)
            _, complaint = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
            os.close(ours)
    assert (process.returncode, complaint) == (130, b"openenv: stopped\n")


async def until_shown(terminal: int, text: bytes) -> None:
    shown = b""
    while text not in shown:
        shown += await asyncio.to_thread(os.read, terminal, 65536)


async def test_names_are_neither_markup_nor_orders_to_the_terminal() -> None:
    async with being_played("--watch") as url, package.connect(url) as pool:
        await pool.session(label="[/odd]\x1b[2J")
        run = await asyncio.to_thread(openenv, "watch", url)
        assert (run.returncode, run.stderr) == (0, "")
        assert "[/odd]\N{REPLACEMENT CHARACTER}[2J" in run.stdout


async def test_lines_of_json() -> None:
    async with being_played("--watch") as url:
        run = await asyncio.to_thread(openenv, "watch", url, "--json", "--once", "--label", "play")
        assert (run.returncode, run.stderr) == (0, "")
        [seen] = map(json.loads, run.stdout.splitlines())
        assert (seen["label"], seen["episode"], seen["step"]) == ("play/1", 1, 1)


async def test_a_reader_may_have_seen_enough() -> None:
    reader, writer = os.pipe()
    async with being_played("--watch") as url, package.connect(url) as pool, within(20):
        process = await asyncio.create_subprocess_exec(
            *(*OPENENV, "watch", url, "--json"), stdout=writer, stderr=PIPE, env=ENVIRON
        )
        os.close(writer)
        await until_shown(reader, b"play/1")
        os.close(reader)
        await pool.session(label="nobody reads of this one")
        _, complaint = await process.communicate()
    assert (process.returncode, complaint) == (1, b"")


async def test_the_link_is_closed_before_a_broken_pipe_ends_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = asyncio.Event()

    async def watched(url: str, **options: Any) -> AsyncIterator[WatchEvent]:
        try:
            yield WatchEvent([], ["a session"])
        finally:
            await asyncio.sleep(0)  # as closing a socket takes turns of the event loop
            closed.set()

    def nobody_reads(line: bytes) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(commands, "watch", watched)
    monkeypatch.setattr("typer.echo", nobody_reads)
    with pytest.raises(BrokenPipeError):
        await commands._print_changes("http://server", None, once=False)
    assert closed.is_set()


async def test_a_server_that_does_not_allow_it_is_named_with_what_to_do() -> None:
    async with being_played() as url:
        run = await asyncio.to_thread(openenv, "watch", url)
        assert run.returncode == 1
        assert run.stdout == ""
        assert run.stderr == (
            f"openenv: the server at {url} does not let its sessions be watched: "
            "start it with --watch, or with OPENENV_WATCH=true\n"
        )


async def test_serve_says_when_watch_has_no_effect(tmp_path: Path) -> None:
    (tmp_path / "fixed.py").write_text(
        "from openenv import create_app\n"
        "from openenv.server.config import ServerConfig\n"
        "from tests.environments import Counter\n"
        "app = create_app(Counter, config=ServerConfig())\n"
    )
    run = await asyncio.to_thread(openenv, "serve", "fixed:app", "--watch", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr == "openenv: --watch has no effect: fixed:app itself says False\n"
