"""`openenv init`: a new environment that works at once."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from openenv.cli.running import Debug, reporting
from openenv.cli.scaffold import Template, why_unfit, write_environment


def _fit(name: str) -> str:
    unfit = why_unfit(name)
    if unfit is not None:
        raise typer.BadParameter(unfit)
    return name


def init(
    name: Annotated[
        str,
        typer.Argument(metavar="ENV_NAME", help="Its name, such as my_env.", callback=_fit),
    ],
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", help="In which folder to make that of its name.")
    ] = Path(),
    template: Annotated[
        Template,
        typer.Option("--template", "-t", help="A small typed environment, or one of Gymnasium's."),
    ] = Template.MINIMAL,
    debug: Debug = False,
) -> None:
    """Make a new environment: a folder with everything it needs."""
    with reporting(debug):
        folder = output_dir / name
        files = write_environment(name, folder, template)
        shown = os.path.relpath(folder)
        typer.echo(f"{shown} is an environment now:")
        for file in files:
            typer.echo(f"  {file}")
        if template is Template.GYMNASIUM:
            typer.echo("\nIt needs Gymnasium: pip install 'gymnasium>=1.0'")
        typer.echo(
            f"\nGo on with\n\n"
            f"  cd {shlex.quote(shown)}\n"
            f"  openenv validate .   # plays episodes and looks at what is promised\n"
            f"  openenv serve .      # on http://127.0.0.1:8000\n"
            f"  openenv build .      # as a container's image\n\n"
            f"What it does is in server/{_environment_file(files)}, what it takes and gives in "
            "models.py."
        )


def _environment_file(files: list[Path]) -> str:
    return next(file.name for file in files if file.name.endswith("_environment.py"))
