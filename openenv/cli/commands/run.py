"""`openenv run`: an environment's image in a container."""

import asyncio
import json
import signal
import sys
from contextlib import suppress
from enum import StrEnum
from typing import Annotated

import typer

from openenv.address import MAX_PORT
from openenv.cli.running import Debug, log_to_stderr, reporting
from openenv.cli.running import run as run_to_its_end
from openenv.cli.variables import read_variables
from openenv.errors import ProviderError
from openenv.providers.base import READY_TIMEOUT_S
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.docker_cleanup import SHARED_LABEL
from openenv.providers.docker_daemon import docker_client
from openenv.providers.docker_options import PIDS_LIMIT


class Pull(StrEnum):
    """When to pull the image."""

    MISSING = "missing"
    ALWAYS = "always"
    NEVER = "never"


def run(
    image: Annotated[str, typer.Argument(help="The image, such as echo-env:latest.")],
    port: Annotated[
        int | None,
        typer.Option(
            "--port", "-p", min=1, max=MAX_PORT, help="This machine's. Default: a free one."
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="NAME=VALUE", help="A NAME alone is passed on."),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave it running; `openenv stop` ends it.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="The container's.")] = None,
    timeout_s: Annotated[
        float, typer.Option(min=0.1, help="How long the server may take to answer.")
    ] = READY_TIMEOUT_S,
    memory: Annotated[str | None, typer.Option(help="The most memory: 512m, 2g.")] = None,
    cpus: Annotated[float | None, typer.Option(help="How many cores' worth of time.")] = None,
    gpus: Annotated[
        str | None, typer.Option(help="all, or devices by number or name: 0,1.")
    ] = None,
    network: Annotated[
        str, typer.Option(help="bridge, none (the URL is a socket's), or a network's name.")
    ] = "bridge",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Only /tmp can be written to.")
    ] = False,
    tmpfs: Annotated[
        list[str] | None, typer.Option(metavar="PATH[:OPTIONS]", help="A folder in memory.")
    ] = None,
    cap_add: Annotated[
        list[str] | None, typer.Option(help="A capability to keep; all are dropped.")
    ] = None,
    pids_limit: Annotated[
        int, typer.Option(min=1, help="How many processes and threads.")
    ] = PIDS_LIMIT,
    new_privileges: Annotated[
        bool, typer.Option("--new-privileges", help="Let setuid programs work.")
    ] = False,
    volume: Annotated[
        list[str] | None, typer.Option("--volume", "-v", metavar="HERE:THERE[:ro]")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Who the server is inside: 1000:1000.")] = None,
    platform: Annotated[str | None, typer.Option(help="Of the image: linux/arm64.")] = None,
    pull: Annotated[Pull, typer.Option(help="When to pull the image.")] = Pull.MISSING,
    runtime: Annotated[
        str | None, typer.Option(help="Another of Docker's: runsc is gVisor.")
    ] = None,
    container_port: Annotated[
        int | None, typer.Option(min=1, max=MAX_PORT, help="Where the server listens inside.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Run an environment's image until Ctrl-C, with its log on stderr."""
    log_to_stderr(debug)
    with reporting(debug):
        options = {
            "name": name,
            "memory": memory,
            "cpus": cpus,
            "gpus": gpus if gpus in (None, "all") else gpus.split(","),
            "network": network,
            "read_only": read_only,
            "tmpfs": tmpfs,
            "cap_add": cap_add,
            "pids_limit": pids_limit,
            "no_new_privileges": not new_privileges,
            "volumes": volume,
            "user": user,
            "platform": platform,
            "pull": pull.value,
            "runtime": runtime,
            "container_port": container_port,
            "labels": {SHARED_LABEL: "true"},
        }
        provider = LocalDockerProvider(detached=detach, **options)
        variables = read_variables("--env", env)
        try:
            run_to_its_end(_run(provider, image, port, variables, timeout_s, detach, as_json))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None  # by SIGTERM, before the server was ready


async def _run(
    provider: LocalDockerProvider,
    image: str,
    port: int | None,
    env_vars: dict[str, str],
    timeout_s: float,
    detach: bool,
    as_json: bool,
) -> None:
    task = asyncio.current_task()
    assert task is not None
    # Told to end by whomever, it ends as it does by Ctrl-C.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    endpoint = await provider.open(image, port, env_vars, timeout_s=timeout_s)
    name = provider.container_name
    if as_json:
        typer.echo(json.dumps({"name": name, "image": image, "url": endpoint.url}))
    else:
        typer.echo(f"{name} runs {image} on {endpoint.url}")
    if detach:
        return
    following = asyncio.ensure_future(asyncio.to_thread(_follow, str(name)))
    ended = None
    with suppress(asyncio.CancelledError):  # Ctrl-C is how it is meant to end
        await asyncio.shield(following)
        ended = await provider.how_it_ended()
    await provider.aclose()
    await following
    if ended is not None:
        raise ProviderError(ended)


def _follow(name: str) -> None:
    """Copy a container's log to stderr until it has ended."""
    with docker_client() as client:
        container = client.containers.get(name)
        for chunk in container.logs(stream=True, follow=True):
            sys.stderr.buffer.write(chunk)
            sys.stderr.buffer.flush()
        container.wait(timeout=None)
