"""`openenv logs`: what a container's server has written."""

import sys
from typing import Annotated

import typer

from openenv.cli.running import Debug, reporting
from openenv.providers.docker_cleanup import find
from openenv.providers.docker_daemon import docker_client

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="As `openenv ps` shows it; an id, or an image with one."),
]


def logs(
    name: Name,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as it writes more, until it ends.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=0, help="Only the last lines.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Print the log of a container that openenv has started."""
    with reporting(debug), docker_client() as client:
        container = client.containers.get(find(client, name).id)
        lines = "all" if tail is None else tail
        for chunk in container.logs(stream=True, follow=follow, tail=lines):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
