"""`openenv fork`: a Space of somebody's as one of your own."""

from typing import Annotated

import typer

from openenv.cli.running import Debug, reporting
from openenv.cli.variables import read_variables
from openenv.hub.spaces import fork as fork_space


def fork(
    space: Annotated[str, typer.Argument(help="The Space, org/name, or the URL of its page.")],
    repo_id: Annotated[
        str | None, typer.Option("--repo-id", "-r", help="The copy's. Default: yours/NAME.")
    ] = None,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Who may see the copy.")
    ] = None,
    set_env: Annotated[
        list[str] | None,
        typer.Option("--set-env", "-e", metavar="NAME=VALUE", help="For the copy; repeatable."),
    ] = None,
    set_secret: Annotated[
        list[str] | None,
        typer.Option(
            "--set-secret",
            "--secret",
            "-s",
            metavar="NAME[=VALUE]",
            help="Hidden; without a value, that of this shell. The original's are not copied.",
        ),
    ] = None,
    hardware: Annotated[
        str | None, typer.Option("--hardware", "-H", help="Such as cpu-upgrade.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Copy a Space of Hugging Face, to change it or to have it for yourself."""
    with reporting(debug):
        url = fork_space(
            space,
            repo_id,
            is_private=private,
            variables=read_variables("--set-env", set_env),
            secrets=read_variables("--set-secret", set_secret),
            hardware=hardware,
        )
        typer.echo(f"copied to {url}")
