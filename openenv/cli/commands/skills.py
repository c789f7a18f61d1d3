"""`openenv skills`: a guide to openenv for coding agents, in a project or for all of them."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from openenv.cli.running import Debug, reporting
from openenv.errors import ConfigurationError

NAME = "openenv-cli"
GUIDE = "SKILL.md"
CENTRE = ".agents/skills"
"Where the guide is kept, from the project or the home; agents get links to it."
# Agent -> where it looks for skills in a project, and below the home.
AGENTS = {
    "claude": (".claude/skills", ".claude/skills"),
    "codex": (".codex/skills", ".codex/skills"),
    "cursor": (".cursor/skills", ".cursor/skills"),
    "opencode": (".opencode/skills", ".config/opencode/skills"),
}

app = typer.Typer(
    add_completion=False,
    help="A guide to openenv for coding agents.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def preview() -> None:
    """Print the guide."""
    typer.echo(guide(), nl=False)


@app.command()
def add(
    claude: Annotated[bool, typer.Option("--claude", help="For Claude Code.")] = False,
    codex: Annotated[bool, typer.Option("--codex", help="For Codex.")] = False,
    cursor: Annotated[bool, typer.Option("--cursor", help="For Cursor.")] = False,
    opencode: Annotated[bool, typer.Option("--opencode", help="For OpenCode.")] = False,
    everywhere: Annotated[
        bool, typer.Option("--global", "-g", help="For all of your projects.")
    ] = False,
    dest: Annotated[
        Path | None, typer.Option(help="Write it into this folder of skills, and nowhere else.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    debug: Debug = False,
) -> None:
    """Write the guide into a project, once, with a link for each agent."""
    with reporting(debug):
        asked = {"claude": claude, "codex": codex, "cursor": cursor, "opencode": opencode}
        chosen = [agent for agent, is_asked in asked.items() if is_asked]
        if dest is not None and (chosen or everywhere):
            raise ConfigurationError("--dest says where: leave out the agents and --global")
        root = Path.home() if everywhere else Path.cwd()
        home = (root / CENTRE if dest is None else dest) / NAME
        _write(home / GUIDE, force=force)
        typer.echo(f"written: {home / GUIDE}")
        for agent in chosen:
            link = root / AGENTS[agent][everywhere] / NAME
            _link(link, home, force=force)
            typer.echo(f"linked for {agent}: {link}")


def guide() -> str:
    """Return the guide's text."""
    return (files("openenv.cli") / "templates/skill" / GUIDE).read_text("utf-8")


def _write(file: Path, *, force: bool) -> None:
    if file.exists() and file.read_text("utf-8") != guide() and not force:
        raise ConfigurationError(f"{file} exists and says something else: --force replaces it")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(guide(), encoding="utf-8")


def _link(link: Path, home: Path, *, force: bool) -> None:
    if link.resolve() == home.resolve():
        return
    if link.exists() or link.is_symlink():
        if not (force and link.is_symlink()):
            advice = "--force replaces it" if link.is_symlink() else "move it away"
            raise ConfigurationError(f"{link} exists and is no link to {home}: {advice}")
        link.unlink()
    link.parent.mkdir(parents=True, exist_ok=True)
    # Relative, so that the project can be moved.
    link.symlink_to(os.path.relpath(home, link.parent.resolve()), target_is_directory=True)
