"""Descriptions of environments: a summary for a list, or all that the manifest and classes tell.

Plain data, so that it can be printed as JSON. `summarize` imports nothing of the environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.errors import OpenEnvError
from openenv.hub.classes import client_class, payload_class, schema_of
from openenv.payloads import PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.hub.discovery import LocalEnvironment

_COLUMNS = ("name", "version", "action", "observation", "license", "source", "description")


def summarize(found: LocalEnvironment) -> dict[str, Any]:
    """Return the manifest's fields, and `problem` if something is wrong with it."""
    summary: dict[str, Any] = {
        "name": found.name,
        "version": None,
        "description": None,
        "license": None,
        "action": None,
        "observation": None,
        "source": found.distribution or found.place,
        "folder": str(found.folder),
        "module": found.module,
        "problem": found.problem,
    }
    if found.problem is None:
        manifest = found.manifest
        summary |= {
            name: getattr(manifest, name)
            for name in ("version", "description", "license", "action", "observation")
        }
    return summary


def describe(found: LocalEnvironment) -> dict[str, Any]:
    """Return the summary, and also what is served, the classes and their schemas.

    Raises ConfigurationError if the manifest is wrong; if an import fails, `problem` says why.
    """
    manifest = found.manifest
    info = summarize(found) | {
        "app": manifest.app,
        "port": manifest.port,
        "images": list(manifest.images),
        "client": None,
    }
    info |= {name: None for kind in PAYLOADS for name in (kind, f"{kind}_schema")}
    try:
        info["client"] = _qualified(client_class(found))
        for kind in PAYLOADS:
            cls = payload_class(found, kind)
            info[kind] = cls and _qualified(cls)
            info[f"{kind}_schema"] = schema_of(cls)
    except OpenEnvError as error:
        info["problem"] = str(error)
    return info


def table(summaries: Sequence[dict[str, Any]]) -> str:
    """Return one line for each environment, or one that says that there are none."""
    if not summaries:
        return "no environments here: `openenv init my_env` makes one"
    rows = [tuple(map(str.upper, _COLUMNS))]
    for one in summaries:
        wrong = one["problem"] and f"wrong: {one['problem']}"
        said = one | {"description": wrong or one["description"]}
        for kind in ("action", "observation"):
            said[kind] = (one[kind] or "").rpartition(".")[2]
        rows.append(tuple(said[name] or "-" for name in _COLUMNS))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _qualified(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
