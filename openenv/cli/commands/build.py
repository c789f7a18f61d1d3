"""`openenv build`: an environment's image."""

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from openenv.cli.docker_build import build_image, find_builder
from openenv.cli.images import LABEL_VERSION, plan_image
from openenv.cli.running import Debug, ended_by_sigterm, reporting

if TYPE_CHECKING:
    from rich.status import Status

    from openenv.cli.build_log import BuildEvent
    from openenv.cli.docker_build import Image
    from openenv.cli.images import Recipe

# As `openenv push` takes them too.
BuildArgs = Annotated[
    list[str] | None,
    typer.Option("--build-arg", metavar="NAME=VALUE", help="For ARG; repeatable."),
]
Platform = Annotated[str | None, typer.Option(metavar="OS/ARCH", help="Such as linux/amd64.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Run every step of the build.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show all output of the build.")]


def build(
    path: Annotated[
        Path, typer.Argument(metavar="ENV_PATH", help="The environment's folder.")
    ] = Path(),
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", "-t", help="Default: NAME-env and openenv-NAME; repeatable."),
    ] = None,
    context: Annotated[
        Path | None, typer.Option("--context", "-c", help="Default: the environment's folder.")
    ] = None,
    dockerfile: Annotated[
        Path | None,
        typer.Option("--dockerfile", "-f", help="Default: server/Dockerfile, or Dockerfile."),
    ] = None,
    build_arg: BuildArgs = None,
    platform: Platform = None,
    no_cache: NoCache = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Build an image that serves an environment."""
    with reporting(debug), ended_by_sigterm():
        recipe = plan_image(
            path,
            tags=tag or (),
            context=context,
            dockerfile=dockerfile,
            build_args=build_arg or (),
            platform=platform,
            uses_cache=not no_cache,
        )
        console = Console(highlight=False, markup=False, soft_wrap=True)
        image = build_and_show(recipe, console, verbose=verbose)
        console.print(f"\nServe it with\n\n  {shlex.join(('openenv', 'run', image.tags[0]))}")


def build_and_show(recipe: "Recipe", console: Console, *, verbose: bool) -> "Image":
    """Build an image, and say on the console how that goes and what came of it."""
    began_s = time.monotonic()
    with console.status(f"building {recipe.manifest.name}") as status:
        progress = _BuildProgress(console, status, verbose)
        image = build_image(recipe, find_builder(), progress.show)
    took_s = time.monotonic() - began_s
    console.print(
        f"built {' and '.join(image.tags)}: {image.size_bytes / 1e6:.0f} MB, "
        f"openenv {recipe.labels[LABEL_VERSION]}, in {took_s:.1f} s"
    )
    return image


class _BuildProgress:
    """Says which step runs, and with `verbose` all that it prints."""

    def __init__(self, console: Console, status: "Status", verbose: bool) -> None:
        self._console = console
        self._status = status
        self._verbose = verbose

    def show(self, event: "BuildEvent") -> None:
        if event.step.startswith("[internal]"):
            return
        if event.kind == "begun":
            self._console.print(event.step)
        elif event.kind == "cached":
            self._console.print("  cached", style="dim")
        elif event.kind == "output" and self._verbose:
            self._console.print(f"  {event.text}", style="dim")
        elif event.kind == "output":
            self._status.update(event.text[:80])
