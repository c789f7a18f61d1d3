"""The one reader of JSON schemas: references, fields, bounds and types.

Covers the keywords that schemas of payload classes have. Does not make schemas (codec.py does) and
does not check values against them (the library jsonschema does).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from openenv.errors import ConfigurationError

Schema = Mapping[str, Any]

DEFINITIONS = "$defs"
"The key under which a schema keeps the parts that it refers to."


def reference_to(definition: str) -> str:
    """Return the reference (`$ref`) to a definition of this name; RFC 6901 escapes the name."""
    return f"#/{DEFINITIONS}/{definition.replace('~', '~0').replace('/', '~1')}"


def resolve(part: Any, root: Schema) -> Any:
    """Return a part of the schema `root`, or, where it is a reference, what it refers to.

    Raises ConfigurationError if the reference leads nowhere, or back to itself.
    """
    seen: set[str] = set()
    while isinstance(part, Mapping) and "$ref" in part:
        reference = str(part["$ref"])
        if reference in seen:
            raise ConfigurationError(f"the schema's reference {reference} leads back to itself")
        seen.add(reference)
        part = _target(reference, root)
    return part


def _target(reference: str, root: Schema) -> Any:
    target: Any = root
    try:
        # Another document is not fetched: payload classes keep all their parts in one.
        document, *keys = reference.split("/")
        if document != "#":
            raise KeyError(document)
        for key in keys:
            target = target[key.replace("~1", "/").replace("~0", "~")]
    except (KeyError, TypeError):
        raise ConfigurationError(f"the schema refers to {reference}, which it lacks") from None
    return target


def properties(schema: Schema) -> dict[str, Any]:
    """Return the schemas of an object's fields, by name, with their references unresolved."""
    return dict(schema.get("properties") or {})


def required(schema: Schema) -> tuple[str, ...]:
    """Return the names of the fields that an object must have."""
    return tuple(schema.get("required") or ())


def bounds(schema: Schema) -> tuple[float | None, float | None]:
    """Return the least and the greatest number; None where there is no bound.

    An exclusive bound is returned as it is: no number lies next to it.
    """
    lows = (schema.get("minimum"), schema.get("exclusiveMinimum"))
    highs = (schema.get("maximum"), schema.get("exclusiveMaximum"))
    return (
        max((float(low) for low in lows if low is not None), default=None),
        min((float(high) for high in highs if high is not None), default=None),
    )


def integer_bounds(schema: Schema) -> tuple[int | None, int | None]:
    """Return the least and the greatest integer; None where there is no bound."""
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    lows = [math.ceil(low)] if low is not None else []
    highs = [math.floor(high)] if high is not None else []
    if above is not None:
        lows.append(math.floor(above) + 1)
    if below is not None:
        highs.append(math.ceil(below) - 1)
    return max(lows, default=None), min(highs, default=None)


def is_null(schema: Any) -> bool:
    """Whether nothing but null fits, as in the second half of `X | None`."""
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def without_all_of(schema: Schema) -> Schema:
    """Return a schema with the keys of its `allOf` parts in its own; its own keys win."""
    if "allOf" not in schema:
        return schema
    merged = {key: value for part in schema["allOf"] for key, value in part.items()}
    return {**merged, **{key: value for key, value in schema.items() if key != "allOf"}}
