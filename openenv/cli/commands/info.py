"""`openenv info`: what there is to say of an environment."""

import json
from typing import Annotated, Any

import typer

from openenv.cli.running import Debug, reporting
from openenv.errors import OpenEnvError
from openenv.hub.auto import locate
from openenv.hub.discovery import LocalEnvironment, discover
from openenv.hub.info import describe
from openenv.hub.starting import plan_space, plan_start
from openenv.payloads import PAYLOADS
from openenv.providers.hub_api import space_id

_SHOWN = ("name", "version", "description", "source", "folder", "app", "port", "client")


def names() -> list[str]:
    """Return the names of the environments on this machine, for the shell's completion."""
    return [environment.name for environment in discover()]


def info(
    name: Annotated[
        str,
        typer.Argument(
            help="The environment's name, its folder, or a Space's id.", autocompletion=names
        ),
    ],
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Run the client of a Space without asking."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, schemas included.")] = False,
    debug: Debug = False,
) -> None:
    """Show an environment: its classes, their fields, and what AutoEnv would start."""
    with reporting(debug):
        environment = locate(name, trust_remote_code)
        described = describe(environment) | {"start": _start(environment, name)}
        typer.echo(json.dumps(described, indent=2) if as_json else "\n".join(_lines(described)))


def _start(environment: LocalEnvironment, name: str) -> str:
    try:
        space = space_id(name) if environment.origin == "space" else None
        return (plan_start(environment) if space is None else plan_space(space)).description
    except OpenEnvError as error:
        return f"nothing: {error}"


def _lines(described: dict[str, Any]) -> list[str]:
    rows = [(name, described[name]) for name in _SHOWN]
    for kind in PAYLOADS:
        fields = described[f"{kind}_schema"] or {}
        required = fields.get("required", ())
        marked = [f if f in required else f"[{f}]" for f in fields.get("properties", ())]
        rows.append((kind, " ".join((described[kind] or "a dict", *marked))))
    rows += [("images", " ".join(described["images"])), ("starts", described["start"])]
    rows += [("wrong", described["problem"])] if described["problem"] else []
    return [f"{name:<12} {'-' if value is None else value}" for name, value in rows]
