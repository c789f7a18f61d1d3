"""`openenv demo`: the echo environment, served by another process, and episodes of it."""

import asyncio
import random
import re
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openenv.cli.results import show
from openenv.cli.running import Debug, log_to_stderr, reporting, run
from openenv.errors import ConfigurationError, StartupTimeout
from openenv.rollout.collect import collect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openenv.rollout.collection import Collection

OUT = Path("openenv-demo/episodes.jsonl")
TURNS = 10
STARTUP_TIMEOUT_S = 30.0

GREETINGS = ("Hello, World!", "How are you?", "It echoes in here.", "Good bye!")


def demo(
    episodes: Annotated[int, typer.Option(min=1)] = 1000,
    connections: Annotated[int, typer.Option(min=1, help="Sockets that carry them.")] = 2,
    concurrency: Annotated[int, typer.Option(min=1, help="Episodes at once.")] = 64,
    out: Annotated[Path, typer.Option(help="The recording; replaced if it exists.")] = OUT,
    debug: Debug = False,
) -> None:
    """Collect episodes of the echo environment, served here."""
    log_to_stderr(debug)
    with reporting(debug):
        out.parent.mkdir(parents=True, exist_ok=True)
        show(run(_play(episodes, connections, concurrency, out)))


async def _play(episodes: int, connections: int, concurrency: int, out: Path) -> "Collection":
    greetings = random.Random(0)

    def policy(_: Any) -> dict[str, str]:
        return {"message": greetings.choice(GREETINGS)}

    async with _serving(_echo_folder()) as url:
        typer.echo(f"{url} serves the echo environment; {episodes:,} episodes of {TURNS} turns")
        return await collect(
            url,
            policy,
            episodes=episodes,
            connections=connections,
            concurrency=concurrency,
            max_turns=TURNS,
            seed=0,
            out=out,
            overwrite=True,
        )


def _echo_folder() -> str:
    for package in ("envs", "echo_env"):
        spec = find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec is not None else ():
            folder = Path(location) / "echo_env" if package == "envs" else Path(location)
            if (folder / "openenv.yaml").is_file():
                return str(folder)
    raise ConfigurationError(
        "the demo serves the echo environment, which is not installed here: run it in a checkout "
        "of openenv (pip install -e '.[cli]'), or install envs/echo_env"
    )


@asynccontextmanager
async def _serving(target: str) -> "AsyncIterator[str]":
    """Serve a target in a process of its own meanwhile; yield its URL."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "openenv.cli", "serve", target, "--port", "0"),
        stdout=PIPE,
        # Ctrl-C is for this process, which then ends that one.
        start_new_session=True,
    )
    try:
        yield await _announced_url(server)
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()


async def _announced_url(server: Process) -> str:
    assert server.stdout is not None
    try:
        async with asyncio.timeout(STARTUP_TIMEOUT_S):
            line = (await server.stdout.readline()).decode()
    except TimeoutError as error:
        raise StartupTimeout(
            f"the server of the demo did not start within {STARTUP_TIMEOUT_S:.0f} s"
        ) from error
    url = re.search(r"http://\S+", line)
    if url is None:
        raise StartupTimeout("the server of the demo did not start; what it said is above")
    return url.group()
