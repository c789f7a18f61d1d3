"""`python -m openenv.cli.validation.probe TARGET FILE`: import a target, write what is in it.

A program of its own, as whatever is imported may print, hang or exit. static.py runs it and judges
what it finds.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

from openenv.cli.commands.serve import load_app
from openenv.client.blocking.sync import SyncEnvClient
from openenv.client.env import EnvClient
from openenv.errors import ConfigurationError
from openenv.manifest import Manifest, read_manifest
from openenv.payloads import PAYLOADS
from openenv.server.serve import registry_of
from openenv.server.target import load_member


def examine(target: str) -> dict[str, Any]:
    """Return what can be said of a target by importing it."""
    try:
        registry = registry_of(load_app(target))
    except ConfigurationError as error:
        return {"error": str(error)}
    report: dict[str, Any] = {}
    if registry is not None:
        spec = registry.spec
        report["environment"] = spec.name
        report["is_concurrent"] = spec.convention.is_concurrent
        report["execution"] = spec.convention.execution
        report["payloads"] = {
            name: {
                "class": getattr(getattr(spec.replies, name).cls, "__name__", None),
                "schema": getattr(spec.replies, name).json_schema(),
            }
            for name in PAYLOADS
        }
    folder = Path(target)
    if folder.is_dir():
        manifest = read_manifest(folder)
        report["client"] = _client(folder, manifest)
        report["named"] = {
            name: _named(folder, getattr(manifest, name))
            for name in PAYLOADS
            if getattr(manifest, name)
        }
    return report


def _client(folder: Path, manifest: Manifest) -> dict[str, str]:
    """Return the name of the client's class, or why there is none."""
    named = manifest.client
    if named is None:
        return _first_client(folder)
    reference = named if ":" in named else f"client:{named}"
    try:
        member = load_member(folder, reference, _is_client)
    except ConfigurationError as error:
        return {"error": str(error)}
    if not _is_client(member):
        return {"error": f"{reference} is no EnvClient"}
    return {"class": member.__name__}


def _first_client(folder: Path) -> dict[str, str]:
    if not (folder / "client.py").is_file():
        return {}
    try:
        members = vars(sys.modules[load_member(folder, "client:__name__")])
    except ConfigurationError as error:
        return {"error": str(error)}
    own = [member for member in members.values() if _is_client(member)]
    own = [member for member in own if member.__module__ == members["__name__"]]
    return {"class": own[0].__name__} if own else {}


def _named(folder: Path, reference: str) -> dict[str, str]:
    """Return the name of a payload class that a manifest names, or why there is none."""
    module, _, name = reference.rpartition(".")
    try:
        member = load_member(folder, f"{module or 'models'}:{name}", inspect.isclass)
    except ConfigurationError as error:
        return {"error": str(error)}
    if not inspect.isclass(member):
        return {"error": f"{reference} is no class"}
    return {"class": member.__name__}


def _is_client(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, EnvClient | SyncEnvClient)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(examine(sys.argv[1])), encoding="utf-8")
