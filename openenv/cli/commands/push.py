"""`openenv push`: an environment to a Space of Hugging Face, or its image to a registry."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status

from openenv.cli.commands.build import BuildArgs, NoCache, Platform, Verbose, build_and_show
from openenv.cli.docker_push import Login, check_tag, log_in, push_image, repository_in
from openenv.cli.images import Recipe, plan_image
from openenv.cli.running import Debug, ended_by_sigterm, reporting
from openenv.cli.space_files import BASE_IMAGE, has_argument, read_patterns, space_files
from openenv.cli.variables import read_variables
from openenv.errors import ConfigurationError
from openenv.hub.spaces import (
    END_OF_MATTER,
    INTERFACE_VARIABLE,
    README,
    Publication,
    owner,
    publish,
)
from openenv.providers.docker_daemon import docker_client

_OF_IMAGES = (
    *("namespace", "tag", "username", "password_stdin", "no_build"),
    *("platform", "no_cache"),
)
_OF_SPACES = (
    *("repo_id", "private", "hardware", "env_var", "secret", "interface", "exclude"),
    *("count", "create_pr", "dry_run"),
)


def push(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="The environment's folder.")
    ] = Path(),
    registry: Annotated[
        str | None, typer.Option(help="Push an image there, such as ghcr.io/me.")
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
    build_arg: BuildArgs = None,
    platform: Platform = None,
    no_cache: NoCache = False,
    repo_id: Annotated[
        str | None, typer.Option("--repo-id", "-r", help="The Space. Default: yours/NAME.")
    ] = None,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Who may see the Space.")
    ] = None,
    hardware: Annotated[
        str | None, typer.Option("--hardware", "-H", help="The Space's, such as cpu-upgrade.")
    ] = None,
    env_var: Annotated[
        list[str] | None,
        typer.Option("--env-var", "-e", metavar="NAME=VALUE", help="For the Space; repeatable."),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="Hidden; without a value, that of this shell."),
    ] = None,
    interface: Annotated[
        bool, typer.Option(help="Have the Space show the environment's page.")
    ] = True,
    exclude: Annotated[
        Path | None, typer.Option(help="A file of patterns of what stays here, one per line.")
    ] = None,
    base_image: Annotated[
        str | None, typer.Option("--base-image", "-b", help="For the Dockerfile's ARG BASE_IMAGE.")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="How many Spaces: NAME-1, NAME-2, ...")
    ] = 1,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Open a pull request on the Space instead.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go into the Space; ask nobody.")
    ] = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Publish an environment as a Space of Hugging Face; with --registry, push its image there."""
    with reporting(debug), ended_by_sigterm():
        _refuse(context, registry)
        base = [] if base_image is None else [f"{BASE_IMAGE}={base_image}"]
        recipe = plan_image(
            directory,
            build_args=[*(build_arg or ()), *base],
            platform=platform,
            uses_cache=not no_cache,
        )
        if base and not has_argument(recipe.dockerfile.read_text("utf-8"), BASE_IMAGE):
            raise ConfigurationError(f"{recipe.dockerfile} has no ARG {BASE_IMAGE} to be set")
        if registry is not None:
            destination = (
                registry,
                namespace,
                [check_tag(tag_text) for tag_text in tag or ("latest",)],
            )
            login = _login(username, password_stdin)
            _push_image(recipe, destination, login, builds=not no_build, verbose=verbose)
            return
        space = repo_id or f"{'you' if dry_run else owner()}/{recipe.manifest.name}"
        with space_files(recipe, read_patterns(exclude), has_interface=interface) as files:
            what = Publication(
                space=space,
                files=files,
                variables=_variables(recipe, env_var, has_interface=interface),
                secrets=read_variables("--secret", secret),
                is_private=private,
                hardware=hardware,
            )
            for copy in _numbered(what, count):
                if dry_run:
                    _show_plan(copy)
                else:
                    _publish(copy, as_request=create_pr)


# ---- Spaces


def _variables(recipe: Recipe, given: list[str] | None, *, has_interface: bool) -> dict[str, str]:
    """Return the variables of a Space: what is usual, what the manifest says, what is given."""
    usual = {INTERFACE_VARIABLE: "true"} if has_interface else {}
    return {**usual, **recipe.manifest.variables, **read_variables("--env-var", given)}


def _numbered(what: Publication, count: int) -> list[Publication]:
    if count == 1:
        return [what]
    return [replace(what, space=f"{what.space}-{number}") for number in range(1, count + 1)]


def _publish(what: Publication, *, as_request: bool) -> None:
    console = _console()
    with console.status(f"publishing {what.space}"):
        published = publish(what, as_request=as_request)
    if published.pull_request is not None:
        console.print(f"asked for by {published.pull_request}")
        return
    done = "made" if published.is_new else "brought up to date"
    console.print(f"{done}: {published.url} ({len(what.files)} files)")
    console.print(f'\nIt is being built there. Play it with AutoEnv.from_env("{what.space}")\n')


def _show_plan(what: Publication) -> None:
    console = _console()
    console.print(f"the Space {what.space} would hold")
    for path, content in sorted(what.files.items()):
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        console.print(f"  {size:>9,}  {path}")
    visibility = {None: "as the account has it", True: "private", False: "public"}
    console.print(f"hardware: {what.hardware or 'as it comes'}; {visibility[what.is_private]}")
    console.print("variables: " + ", ".join(f"{k}={v}" for k, v in what.variables.items()))
    console.print(f"secrets: {', '.join(what.secrets) or 'none'}")
    readme = what.files[README]
    assert isinstance(readme, bytes)
    console.print(
        f"{README} would begin with\n{readme.decode().partition(END_OF_MATTER)[0]}{END_OF_MATTER}"
    )


# ---- images


def _push_image(
    recipe: Recipe,
    destination: tuple[str, str | None, list[str]],
    login: Login | None,
    *,
    builds: bool,
    verbose: bool,
) -> None:
    registry, namespace, tags = destination
    repository = repository_in(registry, namespace, recipe.manifest)
    console = _console()
    with docker_client() as client:
        if login is not None:
            # Before the build, which takes longer than to learn that it was for nothing.
            log_in(client, repository, login)
        if builds:
            build_and_show(recipe, console, verbose=verbose)
        source, _ = recipe.manifest.images
        for tag_text in tags:
            name = f"{repository}:{tag_text}"
            with console.status(f"pushing {name}") as status:
                show = partial(_show_progress, status, name)
                digest = push_image(client, source, (repository, tag_text), login, show)
            console.print(f"pushed {name}: {digest}")
    console.print(f"\nRun it with\n\n  openenv run {repository}:{tags[0]}")


def _show_progress(status: Status, name: str, text: str) -> None:
    status.update(f"pushing {name}: {text}")


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


# ---- options


def _refuse(context: typer.Context, registry: str | None) -> None:
    """Refuse options that belong to the other kind of push."""
    others = _OF_IMAGES if registry is None else _OF_SPACES
    # By its name: typer has a copy of click inside, whose enumeration is another.
    source = context.get_parameter_source
    given = [name for name in others if getattr(source(name), "name", "") == "COMMANDLINE"]
    options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    if given and registry is None:
        raise ConfigurationError(
            f"{options} belongs to the push of an image: say where it goes with --registry, "
            "ghcr.io/me for instance. Without that a Space of Hugging Face is meant"
        )
    if given:
        raise ConfigurationError(
            f"{options} belongs to the push to a Space: leave out --registry for that"
        )


def _console() -> Console:
    return Console(highlight=False, markup=False, soft_wrap=True)
