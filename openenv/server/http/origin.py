"""HttpOrigin: the origin of a request that came over HTTP.

In place of the link that a request over a WebSocket comes from; sessions.py waits for the reply.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openenv.arrays import Encoding
    from openenv.protocol.frames import Partial
    from openenv.server.ports import Reply


class HttpOrigin:
    """The origin of a request that came over HTTP: its reply becomes the result of a future.

    The HTTP request that waits for the future may have been cancelled by then, and several may
    wait for one future: a step that is sent again with the same `request_id` gets the same reply.
    """

    __slots__ = ("answer", "encoding")

    is_lenient = False

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def reply(self, frame: Reply | Partial) -> None:
        """Complete the future with a reply frame."""
        if not self.answer.done():
            self.answer.set_result(frame)

    def until_room(self) -> None:
        """Return at once: over HTTP no partial observations are asked for, so none can queue."""
