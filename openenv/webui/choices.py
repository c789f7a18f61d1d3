"""The few things that can be done next, where an environment has such: buttons and keys for them.

A class says which in `web_buttons` and `web_keys`; for others their action's schema does. What can
be done only now and then the observation says, and the page reads it there (`among`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from openenv.errors import ConfigurationError, PayloadError
from openenv.payloads.schema import integer_bounds, properties, required, resolve

if TYPE_CHECKING:
    from openenv.codec import Codec
    from openenv.payloads.schema import Schema

MOST = 32
"So many buttons at most; what has more choices is filled in as a form."


def buttons_of(cls: type, action: Codec) -> list[dict[str, Any]] | None:
    """Return the actions that there are, each with its label; None if they are too many to list.

    Raises ConfigurationError, as `keys_of` does, if the class says what is no action.
    """
    named = _named(cls, "web_buttons", action)
    if named is not None:
        return [{"label": label, "action": payload} for label, payload in named.items()]
    schema = action.json_schema()
    name = _only_field(schema)
    if name is None:
        return None
    values = _values(resolve(schema["properties"][name], schema))
    if values is None or not 0 < len(values) <= MOST:
        return None
    return [
        {"label": value if isinstance(value, str) else f"{name} {value}", "action": {name: value}}
        for value in values
    ]


def keys_of(cls: type, action: Codec) -> dict[str, Any] | None:
    """Return which action a key means, by the browser's name of the key."""
    return _named(cls, "web_keys", action)


def is_chat(cls: type, observation_schema: dict[str, Any]) -> bool:
    """Whether episodes are conversations: what is seen is messages, or words become actions."""
    if callable(getattr(cls, "message_to_action", None)):
        return True
    messages = resolve(properties(observation_schema).get("messages", {}), observation_schema)
    return bool(messages.get("type") == "array")


def _named(cls: type, attribute: str, action: Codec) -> dict[str, Any] | None:
    named = getattr(cls, attribute, None)
    if named is None:
        return None
    where = f"{cls.__name__}.{attribute}"
    if not isinstance(named, dict):
        raise ConfigurationError(f"{where} must be a dict of actions, not {type(named).__name__}")
    for name, payload in named.items():
        try:
            action.decode(msgspec.json.encode(payload), "json")  # as the page sends it
        except (PayloadError, TypeError) as error:
            raise ConfigurationError(f"{where}[{name!r}] is no action: {error}") from error
    return {str(name): payload for name, payload in named.items()}


def _only_field(schema: dict[str, Any]) -> str | None:
    """Return the one field that an action needs, or the only one that it has."""
    names = [name for name in properties(schema) if name != "metadata"]
    deciding = [name for name in required(schema) if name != "metadata"] or names
    return deciding[0] if len(deciding) == 1 else None


def _values(field: Schema) -> list[Any] | None:
    if "among" in field:
        return None
    if "enum" in field:
        return list(field["enum"])
    if field.get("type") == "boolean":
        return [False, True]
    low, high = integer_bounds(field)
    if field.get("type") != "integer" or low is None or high is None or high - low >= MOST:
        return None
    return list(range(low, high + 1))
