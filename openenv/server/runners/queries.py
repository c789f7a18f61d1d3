"""What the server itself asks of an environment, beyond the protocol: a picture, or an action.

Frames like those of clients, so that they take the same way through session, runner and worker. No
link reads them: clients ask over HTTP.
"""

from __future__ import annotations

from typing import Any, Literal

from openenv.protocol.frames import GetState
from openenv.server.runners.pictures import picture_of


class EnvironmentQuery(GetState, tag="ask"):
    """Call a method that environments may have; a StateReply holds what it returns."""

    method: Literal["render", "message_to_action"]
    arguments: tuple[Any, ...] = ()


def has(cls: type, method: str) -> bool:
    """Whether environments of a class have such a method."""
    return callable(getattr(cls, method, None))


def query_result(frame: EnvironmentQuery, returned: object) -> object:
    """Return what the method has returned as data that can travel."""
    if frame.method == "render":
        return picture_of(returned)._asdict()
    return returned.model_dump() if hasattr(returned, "model_dump") else returned
