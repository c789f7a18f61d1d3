"""Payloads as plain dicts, for servers' own code: what clients send, and what they are sent.

The same fields as on the wire, without bytes. codec.py knows the classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from openenv.codec import codec_for, plain
from openenv.errors import PayloadError
from openenv.protocol.frames import Result
from openenv.protocol.result_object import result_object

if TYPE_CHECKING:
    from collections.abc import Mapping


def serialize_observation(observation: object) -> dict[str, Any]:
    """Return {"observation": {...}, "reward": ..., "done": ...} of an observation.

    With `truncated` and `metadata` beside them where they say something.
    """
    result = codec_for(None).lifter(observation, Result)(0, observation)
    result.observation = plain(result.observation)
    return result_object(result)


def deserialize_action(data: object, action_cls: object) -> Any:
    """Return the action that plain data means. Raises PayloadError."""
    return codec_for(action_cls).convert(data)


def deserialize_action_with_preprocessing(data: Mapping[str, Any], action_cls: object) -> Any:
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
