"""`openenv serve`: an environment on a socket."""

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openenv.address import DEFAULT_PORT, LOOPBACK, MAX_PORT
from openenv.app import create_app
from openenv.cli.running import reporting
from openenv.errors import ConfigurationError
from openenv.server.serve import registry_of
from openenv.server.serve import serve as serve_app
from openenv.server.target import is_environment, load_target

if TYPE_CHECKING:
    from openenv.server.sessions.registry import SessionRegistry

Target = Annotated[
    str,
    typer.Argument(
        help="An environment's folder, such as envs/echo_env; or module:app, or "
        "module:EnvironmentClass.",
        metavar="TARGET",
    ),
]


class Execution(StrEnum):
    """Where synchronous environments run."""

    INLINE = "inline"
    THREAD = "thread"
    PROCESS = "process"


def serve(
    target: Target = ".",
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for everyone.")] = LOOPBACK,
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=MAX_PORT, help="0 takes a free one.")
    ] = DEFAULT_PORT,
    uds: Annotated[
        str | None,
        typer.Option(help="Listen on this Unix domain socket instead.", envvar="OPENENV_UDS"),
    ] = None,
    max_sessions: Annotated[
        int | None, typer.Option(min=1, help="How many sessions at once.")
    ] = None,
    execution: Annotated[
        Execution | None, typer.Option(help="Where environments run, whatever their class says.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="How many processes run environments; means --execution process."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Let clients watch the sessions of others.")
    ] = False,
    web: Annotated[
        bool, typer.Option("--web", help="Serve the page at /web, to play and to look on.")
    ] = False,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "warning",
    tune_gc: Annotated[bool, typer.Option(help="Collect garbage rarely: faster.")] = True,
    reload: Annotated[
        bool, typer.Option("--reload", help="Begin anew when its code changes.")
    ] = False,
    ready_fd: Annotated[
        int | None,
        typer.Option(hidden=True, help="Write the URL to this file too, for whoever started it."),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log everything; send clients tracebacks.")
    ] = False,
) -> None:
    """Serve an environment until Ctrl-C or SIGTERM."""
    with reporting(debug):
        if ready_fd is not None:
            # What the environment starts must not hold it open.
            os.set_inheritable(ready_fd, False)
        if reload:
            from openenv.cli.reloading import reload_on_change  # noqa: PLC0415 - watches files

            reload_on_change(target)
            return
        how = execution.value if execution else None
        app = load_app(target, max_sessions, how, workers, watch=watch, web=web, debug=debug)
        registry = registry_of(app)

        def announce(url: str) -> None:
            page = f" with the page at {url}/web" if registry and registry.config.web else ""
            typer.echo(f"serving {_described(registry, target)} on {url}{page}")
            if ready_fd is not None:
                with open(ready_fd, "w") as waiting:
                    waiting.write(f"{url}\n")

        serve_app(
            app,
            host,
            port,
            uds=uds,
            log_level="debug" if debug else log_level,
            tune_gc=tune_gc,
            ready=announce,
        )


def load_app(
    target: str,
    max_sessions: int | None = None,
    execution: str | None = None,
    workers: int | None = None,
    *,
    watch: bool = False,
    web: bool = False,
    debug: bool = False,
) -> Any:
    """Return the app of a target with these settings.

    Raises ConfigurationError, also if the target's own settings leave one without effect.
    """
    # An app is made when its module is imported: its settings can only be there before.
    for name, value in (
        ("MAX_CONCURRENT_ENVS", max_sessions),
        ("EXECUTION", execution),
        ("WORKERS", workers),
        ("WATCH", watch or None),
        ("WEB", web or None),
        ("DEBUG", debug or None),
    ):
        if value is not None:
            os.environ[f"OPENENV_{name}"] = str(value)
    app = _load(target)
    if is_environment(app):
        app = create_app(app)
    registry = registry_of(app)
    for option, asked, actual in (
        ("--max-sessions", max_sessions, registry and registry.max_sessions),
        ("--execution", execution, registry and registry.spec.convention.execution),
        ("--watch", watch or None, registry and registry.config.watch),
        ("--web", web or None, registry and registry.config.web),
        ("--workers", workers, registry and registry.workers and registry.workers.count),
    ):
        if asked not in (None, actual):
            raise ConfigurationError(f"{option} has no effect: {target} itself says {actual}")
    return app


def _load(target: str) -> Any:
    if not target.startswith("gym:"):
        return load_target(target)
    try:
        from openenv.adapters.gymnasium import class_of_target  # noqa: PLC0415 - for this alone
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{target} needs {error.name}: pip install 'openenv[gymnasium]'"
        ) from error
    return class_of_target(target)


def _described(registry: "SessionRegistry | None", target: str) -> str:
    if registry is None:
        return target
    sessions = "1 session" if registry.max_sessions == 1 else f"{registry.max_sessions:,} sessions"
    how = registry.spec.convention.execution
    if registry.workers is not None:
        count = registry.workers.count
        how = f"{count} worker process{'es' * (count > 1)}"
    return f"{registry.spec.name} ({sessions}, {how})"
