"""`openenv validate`: whether an environment is what it should be."""

import json
import re
from collections.abc import Callable, Coroutine
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from openenv.cli.running import Debug, log_to_stderr, reporting, run
from openenv.cli.validation.report import Criterion, Report
from openenv.cli.validation.runtime import examine_server
from openenv.cli.validation.static import examine_folder, examine_imports
from openenv.errors import ConfigurationError, StartupFailed
from openenv.providers.process import ProcessProvider

START_TIMEOUT_S = 60.0

Examine = Callable[[str, Report], Coroutine[Any, Any, None]]
"examine_server with the options of the command."

_URL = re.compile(r"\w+://.*|[\w.-]+:\d+")


class Level(StrEnum):
    """How far to look."""

    STATIC = "static"
    RUNTIME = "runtime"


def validate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET_OR_URL",
            help="An environment's folder, whatever else `openenv serve` takes, or a URL.",
        ),
    ] = ".",
    url: Annotated[str | None, typer.Option(help="A running server, in place of TARGET.")] = None,
    level: Annotated[
        Level, typer.Option(help="static: start nothing; look at the files alone.")
    ] = Level.RUNTIME,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    timeout_s: Annotated[
        float,
        typer.Option("--timeout", "--timeout-s", min=0.1, help="What a request may take."),
    ] = 5.0,
    max_turns: Annotated[int, typer.Option(min=1, help="An episode's end, at the latest.")] = 50,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Leave out a check, by its name; repeatable."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more of what passed.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Look at an environment, play episodes in it, and report."""
    log_to_stderr(debug)
    # On stderr, so that a terminal shows it while stdout is a file.
    with reporting(debug), Console(stderr=True).status("looking at the files") as status:
        examine = partial(
            examine_server,
            timeout_s=timeout_s,
            max_turns=max_turns,
            skipped=skip or (),
            tell=status.update,
        )
        report = _examine(url or target, bool(url), level, examine, skip or [])
        unknown = set(skip or ()) - {criterion.id for criterion in report.criteria}
        if unknown and level is Level.RUNTIME and report.passed:
            known = ", ".join(criterion.id for criterion in report.criteria)
            raise ConfigurationError(f"no check is called {', '.join(unknown)}; there are: {known}")
    if as_json:
        typer.echo(json.dumps(report.to_json(verbose=verbose), indent=2))
    else:
        report.show(Console(), verbose=verbose)
    if not report.passed:
        raise typer.Exit(1)


def _examine(target: str, is_url: bool, level: Level, examine: Examine, skip: list[str]) -> Report:
    if is_url or (_URL.fullmatch(target) and not Path(target).exists()):
        report = Report(target=target, validation_type="running_environment")
        run(examine(target, report))
        return report
    report = Report(target=target, validation_type="local_environment")
    if Path(target).is_dir():
        examine_folder(Path(target), report)
        if report.passed:
            examine_imports(Path(target), report, START_TIMEOUT_S)
    for criterion in report.criteria:
        if criterion.id in skip:
            criterion.status, criterion.details = "skipped", "left out, as asked"
    if level is Level.RUNTIME and report.passed:
        run(_serve_and_examine(target, report, examine))
    return report


async def _serve_and_examine(target: str, report: Report, examine: Examine) -> None:
    provider = ProcessProvider(target)
    try:
        endpoint = await provider.open(timeout_s=START_TIMEOUT_S)
    except StartupFailed as error:
        report.criteria.append(_started(str(error), has_failed=True))
        return
    try:
        report.criteria.append(_started(f"serves on {endpoint.url}"))
        await examine(endpoint.url, report)
    finally:
        await provider.aclose()


def _started(details: str, *, has_failed: bool = False) -> Criterion:
    return Criterion(
        id="startup",
        description="`openenv serve` serves it",
        status="failed" if has_failed else "passed",
        details=details,
    )
