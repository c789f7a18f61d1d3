"""The options of reset as a JSON schema, from the signature of an environment's `reset`."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import msgspec

from openenv.codec import codec_for
from openenv.errors import ConfigurationError
from openenv.payloads.schema import DEFINITIONS, properties

_ABOUT = {
    "seed": "The same seed begins the same episode.",
    "episode_id": "What the episode is called; a name is made up for one that has none.",
}


def reset_schema(reset: Any, *, keeps_id: bool = True, others: Any = None) -> dict[str, Any]:
    """Return the schema of what `reset(self, ...)` takes.

    `keeps_id`: an episode's name is the session's to keep, whether reset takes one or not. `others`
    is a class whose fields are what it takes as `**options`.
    """
    hints = _hints(reset)
    fields: list[Any] = []
    takes_anything = False
    for parameter in list(inspect.signature(reset).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_anything = True
        elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            fields.append(_field(parameter, hints.get(parameter.name, Any)))
    if keeps_id and all(name != "episode_id" for name, *_ in fields):
        fields.append(("episode_id", str | None, None))
    schema = _schema_of(fields)
    for name, text in _ABOUT.items():
        if name in schema["properties"]:
            schema["properties"][name].setdefault("description", text)
    if takes_anything and others is not None:
        _extend(schema, codec_for(others).json_schema())
        takes_anything = False
    return {**schema, "title": "Reset", "additionalProperties": takes_anything}


def _extend(schema: dict[str, Any], others: dict[str, Any]) -> None:
    """Add properties that may all be left out, for the server may have been told other defaults."""
    for name, field in properties(others).items():
        bare = {key: value for key, value in field.items() if key != "default"}
        schema["properties"].setdefault(name, bare)
    schema[DEFINITIONS] = {**others.get(DEFINITIONS, {}), **schema.get(DEFINITIONS, {})}


def _field(parameter: inspect.Parameter, hint: Any) -> Any:
    """Return a field like this parameter, of any type if its own has no schema."""
    default = () if parameter.default is parameter.empty else (parameter.default,)
    for field in ((parameter.name, hint, *default), (parameter.name, Any, *default)):
        try:
            _schema_of([field])
        except (TypeError, ValueError, ConfigurationError):
            continue
        return field
    # Its default is no plain data.
    return parameter.name, Any, None


def _schema_of(fields: list[Any]) -> dict[str, Any]:
    return codec_for(msgspec.defstruct("Reset", fields, kw_only=True)).json_schema()


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        # A name that only a type checker knows: then its options are of any type.
        return {}
