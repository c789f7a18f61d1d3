"""`openenv stop`: ends containers, whoever owns them."""

from typing import Annotated

import typer

from openenv.cli.running import Debug, reporting
from openenv.providers.docker import STOP_TIMEOUT_S
from openenv.providers.docker_cleanup import find, remove
from openenv.providers.docker_daemon import docker_client


def stop(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="As `openenv ps` shows them.")
    ],
    debug: Debug = False,
) -> None:
    """Stop and remove containers that openenv has started."""
    with reporting(debug), docker_client() as client:
        for container in [find(client, name) for name in names]:
            remove(client, container.name, STOP_TIMEOUT_S)
            typer.echo(container.name)
