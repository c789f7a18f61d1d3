"""`openenv push`: an environment's image to a registry."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from openenv.cli.commands.build import build_and_show
from openenv.cli.docker_push import Login, check_tag, log_in, push_image, repository_in
from openenv.cli.images import plan_image
from openenv.cli.running import Debug, ended_by_sigterm, reporting
from openenv.errors import ConfigurationError
from openenv.manifest import read_manifest
from openenv.providers.docker_daemon import docker_client


def push(
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="The environment's folder.")
    ] = Path(),
    registry: Annotated[
        str | None, typer.Option(help="Where the image goes, such as ghcr.io/me.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Whose it is there, if --registry does not say so.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", help="Default: latest; repeatable.")
    ] = None,
    username: Annotated[
        str | None,
        typer.Option("--username", "-u", help="Default: who is logged in with `docker login`."),
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from stdin.")
    ] = False,
    no_build: Annotated[
        bool, typer.Option("--no-build", help="Push the image that `openenv build` has made.")
    ] = False,
    build_arg: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For ARG; repeatable.")
    ] = None,
    platform: Annotated[
        str | None, typer.Option(metavar="OS/ARCH", help="Such as linux/amd64.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Run every step.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the build's output.")] = (
        False
    ),
    debug: Debug = False,
) -> None:
    """Build an environment's image and push it to a registry."""
    with reporting(debug), ended_by_sigterm():
        if registry is None:
            raise ConfigurationError("say where to push it: --registry ghcr.io/me, for instance")
        manifest = read_manifest(directory)
        repository = repository_in(registry, namespace, manifest)
        tags = [check_tag(one) for one in tag or ("latest",)]
        login = _login(username, password_stdin)
        console = Console(highlight=False, markup=False, soft_wrap=True)
        with docker_client() as client:
            if login is not None:
                # Before the build, which takes longer than to learn that it was for nothing.
                log_in(client, repository, login)
            if not no_build:
                arguments = build_arg or ()
                recipe = plan_image(
                    directory, build_args=arguments, platform=platform, uses_cache=not no_cache
                )
                build_and_show(recipe, console, verbose=verbose)
            source, _ = manifest.images
            for one in tags:
                with console.status(f"pushing {repository}:{one}") as status:
                    digest = push_image(client, source, (repository, one), login, status.update)
                console.print(f"pushed {repository}:{one}: {digest}")
        console.print(f"\nRun it with\n\n  openenv run {repository}:{tags[0]}")


def _login(username: str | None, password_stdin: bool) -> Login | None:
    """Return who pushes, if it was said here."""
    if username is None:
        if password_stdin:
            raise ConfigurationError("--password-stdin needs --username")
        return None
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = typer.prompt(f"Password of {username}", hide_input=True, err=True)
    else:
        raise ConfigurationError(
            "--username needs the password: give --password-stdin, and the password on stdin"
        )
    if not password:
        raise ConfigurationError(f"the password of {username} on stdin is empty")
    return Login(username, password)
