"""`openenv list`: the environments on this machine, or those on the hub."""

import json
from typing import Annotated

import typer

from openenv.cli.running import Debug, reporting
from openenv.hub.discovery import discover
from openenv.hub.info import summarize, table
from openenv.hub.spaces import list_spaces


def list_environments(
    hub: Annotated[
        bool, typer.Option("--hub", help="Spaces of Hugging Face that are environments instead.")
    ] = False,
    search: Annotated[
        str | None, typer.Option(help="Only what has this in its name; with --hub.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many; with --hub.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Show the environments on this machine: here, in the repository around, and installed."""
    with reporting(debug):
        if hub:
            spaces = list_spaces(search, limit)
            lines = "\n".join(f"{space['space']}  {space['url']}" for space in spaces)
            typer.echo(json.dumps(spaces, indent=2) if as_json else lines or "none")
            return
        summaries = [summarize(environment) for environment in discover()]
        typer.echo(json.dumps(summaries, indent=2) if as_json else table(summaries))
