"""`openenv collect`: episodes from a server or an environment, into a file."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from openenv.cli.commands.serve import load_app
from openenv.cli.results import show
from openenv.cli.running import Debug, log_to_stderr, reporting, run
from openenv.errors import ConfigurationError, ConnectError
from openenv.plain_http import HttpCaller
from openenv.rollout.collect import collect as collect_episodes
from openenv.rollout.sampler import ActionSampler
from openenv.server.serve import registry_of
from openenv.server.target import load_object

SCHEMA_TIMEOUT_S = 10.0
_OK = 200
_URL = re.compile(r"\w+://.*|unix:.*|[\w.-]+:\d+")


def collect(
    source: Annotated[
        str,
        typer.Argument(
            help="A server's URL, or what `openenv serve` takes: then it lives in this process.",
            metavar="URL_OR_TARGET",
        ),
    ],
    episodes: Annotated[
        int, typer.Option("--episodes", "--num-episodes", "-n", min=1, help="How many to play.")
    ] = 100,
    concurrency: Annotated[int, typer.Option(min=1, help="Episodes at once.")] = 64,
    connections: Annotated[int, typer.Option(min=1, help="Sockets that carry them.")] = 2,
    max_turns: Annotated[int, typer.Option(min=1, help="An episode's end, at the latest.")] = 100,
    seed: Annotated[
        int | None, typer.Option(help="Begin each episode with one made of it.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="From observation to action. Default: actions drawn from their schema.",
        ),
    ] = None,
    batched: Annotated[
        bool, typer.Option("--batched", help="The policy takes and returns lists.")
    ] = False,
    client: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:CLASS", help="The EnvClient whose types to use. Default: dicts."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The recording, as JSON lines; .zst compresses it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a recording.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same options.")
    ] = False,
    retries: Annotated[
        int, typer.Option(min=0, help="How often to begin an episode anew whose environment fails.")
    ] = 0,
    timeout_s: Annotated[
        float | None, typer.Option(min=0.001, help="What a step may take, in seconds.")
    ] = None,
    policy_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--policy-timeout-s",
            "--policy-timeout",
            min=0.001,
            help="What a policy's call may take.",
        ),
    ] = None,
    server_wait_s: Annotated[
        float, typer.Option(min=0, help="How long to wait for a server that is gone.")
    ] = 60.0,
    progress: Annotated[bool | None, typer.Option(help="Default: on a terminal.")] = None,
    debug: Debug = False,
) -> None:
    """Play episodes and record them."""
    log_to_stderr(debug)
    with reporting(debug):
        served: Any = source
        if not _URL.fullmatch(source):
            served = registry_of(load_app(source))
            if served is None:
                raise ConfigurationError(
                    f"{source} is no app of openenv's: serve it and give its URL"
                )
        result = run(
            collect_episodes(
                served,
                load_object(policy) if policy else ActionSampler(_action_schema(served), seed),
                episodes=episodes,
                concurrency=concurrency,
                connections=connections,
                max_turns=max_turns,
                seed=seed,
                out=out,
                overwrite=overwrite,
                resume=resume,
                retries=retries,
                client_cls=load_object(client) if client else None,
                batched=batched or None,
                timeout_s=timeout_s,
                policy_timeout_s=policy_timeout_s,
                server_wait_s=server_wait_s,
                progress=progress,
            )
        )
        show(result)
    if result.failures == result.episodes:
        typer.echo("openenv: every episode failed", err=True)
        raise typer.Exit(1)


def _action_schema(source: Any) -> dict[str, Any]:
    """Return the schema of the actions of a registry's environment, or of a server's."""
    if not isinstance(source, str):
        return source.spec.replies.action.json_schema()  # type: ignore[no-any-return]
    server = HttpCaller(source, SCHEMA_TIMEOUT_S)
    url = f"{server.base_url}/schema"
    try:
        reply = server.request("GET", "/schema")
    except ConnectError as error:
        raise ConnectError(f"no openenv server answers at {source}: {error}") from error
    if reply.status != _OK:
        raise ConfigurationError(
            f"{url} answers {reply.status}, so actions cannot be drawn: give a --policy"
        )
    schemas = reply.json()
    schema = schemas.get("action") if isinstance(schemas, dict) else None
    if not isinstance(schema, dict):
        raise ConfigurationError(f"{url} holds no schema of actions: give a --policy")
    return schema
