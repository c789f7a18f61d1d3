"""The reply to reset and step as an object, for peers without frames: HTTP and the legacy socket.

Owns which keys there are and when they are left out. Does not encode; http/bodies.py of server and
client and legacy.py do.
"""

from __future__ import annotations

from typing import Any

import msgspec

from openenv.models import Reward
from openenv.protocol.frames import Result


class ResultObject(msgspec.Struct):
    """What a client decodes. The observation stays raw: its codec decodes it."""

    observation: msgspec.Raw
    reward: Reward = None
    done: bool = False
    truncated: bool = False
    metadata: dict[str, Any] | None = None

    def to_result(self, request_id: int) -> Result:
        """Return the frame that says the same."""
        return Result(
            request_id, self.observation, self.reward, self.done, self.truncated, self.metadata
        )


def result_object(result: Result) -> dict[str, Any]:
    """Return a result as an object, without `truncated` and `metadata` where they are empty.

    Clients of the first releases know the other three keys.
    """
    content = {
        "observation": result.observation,
        "reward": result.reward,
        "done": result.done,
    }
    if result.truncated:
        content["truncated"] = True
    if result.metadata:
        content["metadata"] = result.metadata
    return content


def reply_object(result: Result) -> dict[str, Any]:
    """Return what a server sends: `done` is true after truncation, too.

    Clients of the first releases end an episode at `done`, and do not know `truncated`.
    """
    content = result_object(result)
    content["done"] = result.done or result.truncated
    return content
