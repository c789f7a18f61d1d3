"""`openenv ps`: the containers that openenv has started."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from openenv.cli.running import Debug, reporting
from openenv.providers.docker_cleanup import RunningContainer, started
from openenv.providers.docker_daemon import docker_client

HEADER = ("NAME", "IMAGE", "STATUS", "URL", "AGE", "OWNER")
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def ps(as_json: AsJson = False, debug: Debug = False) -> None:
    """Show the containers that openenv has started, ended ones too, and whose they are."""
    with reporting(debug):
        with docker_client() as client:
            containers = started(client)
        if as_json:
            typer.echo(json.dumps([described(container) for container in containers], indent=2))
        else:
            typer.echo(_table([HEADER, *map(_row, containers)]))


def described(container: RunningContainer) -> dict[str, Any]:
    """Return what JSON says of a container."""
    return {
        "name": container.name,
        "id": container.id,
        "image": container.image,
        "status": container.status,
        "health": container.health,
        "url": container.url,
        "started_at": container.started_at.isoformat(),
        "owner": container.claim,
        "owner_pid": container.owner and container.owner.pid,
        "is_orphaned": container.is_orphaned,
    }


def _row(container: RunningContainer) -> tuple[str, ...]:
    status = f"{container.status} ({container.health})" if container.health else container.status
    owner = (
        container.claim
        if container.owner is None
        else f"{container.claim} (pid {container.owner.pid})"
    )
    return (
        container.name,
        container.image,
        status,
        container.url or "-",
        _age(container.started_at),
        owner,
    )


def _age(since: datetime) -> str:
    passed_s = max(0, int((datetime.now(UTC) - since).total_seconds()))
    size, unit = next((entry for entry in _UNITS if passed_s >= entry[0]), _UNITS[-1])
    return f"{passed_s // size} {unit}"


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
