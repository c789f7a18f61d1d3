"""The OpenAPI 3.1 document of a server: the operations of every server, the payloads of its own.

The operations are in static/openapi.json, which this fills in.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from openenv.payloads.schema import DEFINITIONS, reference_to

EPISODES = (
    *("/reset", "/step", "/state", "/render", "/close"),
    *("/sessions", "/sessions/{session_id}"),
)
"The paths that a server which only shows tools leaves out."

_TEMPLATE = Path(__file__).parent / "static" / "openapi.json"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")


def document(
    name: str, payloads: dict[str, dict[str, Any]], *, with_episodes: bool = True
) -> dict[str, Any]:
    """Return the document; `payloads` are the JSON schemas of action, observation and state."""
    content = _template()
    content["info"]["title"] = name
    if not with_episodes:
        for path in EPISODES:
            del content["paths"][path]
    schemas = content["components"]["schemas"]
    for kind, schema in payloads.items():
        schemas.update(_components(kind.capitalize(), schema))
    return content


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Return what each operation is called and for, by path and method, as FastAPI wants it."""
    return {
        (path, method.upper()): {
            "operation_id": operation["operationId"],
            "summary": operation["summary"],
            "description": operation.get("description", ""),
            "openapi_extra": {
                "parameters": [
                    parameter
                    for parameter in operation.get("parameters", ())
                    if "$ref" not in parameter
                ]
            },
        }
        for path, methods in _template()["paths"].items()
        for method, operation in methods.items()
    }


def _template() -> dict[str, Any]:
    content: dict[str, Any] = msgspec.json.decode(_TEMPLATE.read_bytes())
    return content


def _components(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema, and what it defines for itself, as components of the document."""
    names = {
        definition: f"{name}.{_NOT_IN_NAMES.sub('_', definition)}"
        for definition in schema.get(DEFINITIONS, {})
    }
    references = {reference_to(old): f"#/components/schemas/{new}" for old, new in names.items()}
    top = {key: value for key, value in schema.items() if key != DEFINITIONS}
    components = {name: top}
    components.update({new: schema[DEFINITIONS][old] for old, new in names.items()})
    return {key: _redirect(value, references) for key, value in components.items()}


def _redirect(value: object, references: dict[str, str]) -> object:
    """Return a schema whose references point into the document."""
    if isinstance(value, dict):
        return {key: _redirect(item, references) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redirect(item, references) for item in value]
    return references.get(value, value) if isinstance(value, str) else value
