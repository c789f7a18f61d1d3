"""`openenv`: the command line's entry point. Each command is a module of commands/."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

try:
    import typer
except ModuleNotFoundError as missing:
    raise SystemExit(
        f"openenv: the command line needs {missing.name}: pip install 'openenv[cli]'"
    ) from None

from typer.core import TyperGroup
from typer.main import get_command

# Command -> `module:member` in commands/: its function, or a Typer app with subcommands.
_COMMANDS = {
    "init": "init:init",
    "validate": "validate:validate",
    "build": "build:build",
    "push": "push:push",
    "serve": "serve:serve",
    "collect": "collect:collect",
    "watch": "watch:watch_sessions",
    "report": "report:report",
    "replay": "replay:replay",
    "demo": "demo:demo",
    "list": "list:list_environments",
    "info": "info:info",
    "fork": "fork:fork",
    "run": "run:run",
    "ps": "ps:ps",
    "logs": "logs:logs",
    "stop": "stop:stop",
    "prune": "prune:prune",
    "skills": "skills:app",
}


class Commands(TyperGroup):
    """Imports a command only when it is used: importing all of them takes a second."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        names: dict[str, Any] = dict.fromkeys(_COMMANDS)
        self.commands = names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name; None if there is none."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, member = _COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(f"openenv.cli.commands.{module}"), member)
        if not isinstance(found, typer.Typer):
            only = typer.Typer(rich_markup_mode=None, add_completion=False)
            only.command(cmd_name)(found)
            found = only
        command = get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    help="Environments for reinforcement learning as services.",
    cls=Commands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
    """Run the command in sys.argv."""
    app(prog_name="openenv")
