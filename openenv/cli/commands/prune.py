"""`openenv prune`: removes the containers that nobody owns any more."""

import json
from typing import Annotated

import typer

from openenv.cli.commands.ps import AsJson
from openenv.cli.running import Debug, reporting
from openenv.providers.docker_cleanup import remove, started
from openenv.providers.docker_daemon import docker_client


def prune(
    everything: Annotated[
        bool,
        typer.Option("--all", help="Detached ones and those of other machines too."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would be.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Remove containers that openenv has started and whose owner is gone.

    Those of a process that still runs stay; `openenv stop` ends them.
    """
    with reporting(debug), docker_client() as client:
        names = [
            container.name
            for container in started(client)
            if container.is_orphaned or (everything and container.claim != "alive")
        ]
        if not dry_run:
            names = [name for name in names if remove(client, name)]
        if as_json:
            typer.echo(json.dumps(names))
        else:
            for name in names:
                typer.echo(name)
            verb = "would be removed" if dry_run else "removed"
            typer.echo(f"{len(names)} {verb}", err=True)
