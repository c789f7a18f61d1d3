"""`openenv report`: recordings as an HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from openenv.cli.running import Debug, log_to_stderr, reporting
from openenv.errors import ConfigurationError


def report(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Recordings; several are compared.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The page. Default: beside the first recording, as .html."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Show returns, lengths, times and failures of recordings as one HTML page."""
    log_to_stderr(debug)
    with reporting(debug):
        # jinja2 and the page's numbers are for this command alone.
        from openenv.recording.report import write_report  # noqa: PLC0415

        page = out or _beside(files[0])
        summaries = write_report(files, page)
        if not sum(summary.episodes for summary in summaries):
            raise ConfigurationError(f"no episode has ended in {', '.join(map(str, files))}")
        typer.echo(f"written to {page}")


def _beside(recording: Path) -> Path:
    """Return the recording's path without its suffixes, as a page."""
    name = recording.name
    for suffix in (".part", ".zst", ".jsonl"):
        name = name.removesuffix(suffix)
    return recording.with_name(f"{name}.html")
