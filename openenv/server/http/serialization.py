"""Payloads as plain dicts, for servers' own code: what clients send, and what they are sent.

The same fields as on the wire, without bytes. codec.py knows the classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from openenv.codec import codec_for, plain
from openenv.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Mapping


def serialize_observation(observation: Any) -> dict[str, Any]:
    """Return {"observation": {...}, "reward": ..., "done": ...} of an observation.

    With `truncated` and `metadata` beside them where they say something.
    """
    return codec_for(None).lifter(observation, _shown)(0, observation)


def deserialize_action(data: Any, action_cls: Any) -> Any:
    """Return the action that plain data means. Raises PayloadError."""
    return codec_for(action_cls).convert(data)


def deserialize_action_with_preprocessing(data: Mapping[str, Any], action_cls: Any) -> Any:
    """Return the action that the fields of a form mean. Raises PayloadError.

    In a form everything is text: where a field takes none, its text is read as JSON.
    """
    codec, fields = codec_for(action_cls), dict(data)
    while True:
        try:
            return codec.convert(fields)
        except PayloadError as error:
            name = error.path.lstrip(".")
            text = fields.get(name)
            if not isinstance(text, str):
                raise
            try:
                fields[name] = msgspec.json.decode(text)
            except msgspec.DecodeError:
                raise error from None


def _shown(
    _: int,
    payload: Any,
    reward: Any = None,
    done: bool = False,
    truncated: bool = False,
    metadata: dict[str, Any] | None = None,
) -> dict[str, Any]:
    shown = {"observation": plain(payload), "reward": reward, "done": done}
    if truncated:
        shown["truncated"] = True
    if metadata:
        shown["metadata"] = metadata
    return shown
