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
            typer.echo(json.dumps([described(one) for one in containers], indent=2))
        else:
            typer.echo(_table([HEADER, *map(_row, containers)]))


def described(one: RunningContainer) -> dict[str, Any]:
    """Return what JSON says of a container."""
    return {
        "name": one.name,
        "id": one.id,
        "image": one.image,
        "status": one.status,
        "health": one.health,
        "url": one.url,
        "started_at": one.started_at.isoformat(),
        "owner": one.claim,
        "owner_pid": one.owner and one.owner.pid,
        "is_orphaned": one.is_orphaned,
    }


def _row(one: RunningContainer) -> tuple[str, ...]:
    status = f"{one.status} ({one.health})" if one.health else one.status
    owner = one.claim if one.owner is None else f"{one.claim} (pid {one.owner.pid})"
    return (one.name, one.image, status, one.url or "-", _age(one.started_at), owner)


def _age(since: datetime) -> str:
    passed_s = max(0, int((datetime.now(UTC) - since).total_seconds()))
    size, unit = next((one for one in _UNITS if passed_s >= one[0]), _UNITS[-1])
    return f"{passed_s // size} {unit}"


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
