"""`openenv`: the command line's entry point. Each command is a module of commands/."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

try:
    import typer
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"openenv: the command line needs {missing.name}: pip install 'openenv[cli]'"
    ) from None

from openenv.cli.commands.build import build
from openenv.cli.commands.collect import collect
from openenv.cli.commands.demo import demo
from openenv.cli.commands.fork import fork
from openenv.cli.commands.info import info
from openenv.cli.commands.init import init
from openenv.cli.commands.list import list_environments
from openenv.cli.commands.logs import logs
from openenv.cli.commands.prune import prune
from openenv.cli.commands.ps import ps
from openenv.cli.commands.push import push
from openenv.cli.commands.report import report
from openenv.cli.commands.run import run
from openenv.cli.commands.serve import serve
from openenv.cli.commands.skills import app as skills
from openenv.cli.commands.stop import stop
from openenv.cli.commands.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    help="Environments for reinforcement learning as services.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_ENVIRONMENTS: tuple[Callable[..., None], ...] = (
    init,
    validate,
    build,
    push,
    serve,
    collect,
    report,
    demo,
)
_ELSEWHERE: tuple[Callable[..., None], ...] = (info, fork)
_CONTAINERS: tuple[Callable[..., None], ...] = (run, ps, logs, stop, prune)
for command in _ENVIRONMENTS:
    app.command()(command)
app.command("list")(list_environments)
for command in (*_ELSEWHERE, *_CONTAINERS):
    app.command()(command)
app.add_typer(skills, name="skills")


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.")
    ] = False,
) -> None:
    """Environments for reinforcement learning as services."""
    if show_version:
        typer.echo(f"openenv {version('openenv')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command that the arguments name."""
    app(prog_name="openenv")
