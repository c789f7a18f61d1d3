"""Where episodes come from: a server, a pool of sessions on one, or an environment in this process.

An environment in this process is served by the same sessions as over a socket, through memory.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from openenv.channel import memory_pair
from openenv.client.link.dialing import Dialed
from openenv.client.pool import Pool, connect
from openenv.client.session import TIMEOUT_MARGIN_S
from openenv.protocol.frames import SUBPROTOCOL_MSGPACK
from openenv.server.host import make_registry
from openenv.server.links.connection import serve_channel
from openenv.server.sessions.registry import SessionRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from openenv.channel import FrameChannel

REPLY_TIMEOUT_S = 60.0
"How long to wait for a reply where no step deadline is longer."


def open_pool(
    source: Any, connections: int = 2, timeout_s: float | None = None
) -> AbstractAsyncContextManager[Pool]:
    """Return a context in which there is a pool of sessions on the source.

    The source is a URL, a Pool (which stays open afterwards), or an Environment class, factory or
    instance, or a SessionRegistry, which is then started and closed here. `timeout_s` is what its
    steps may take.
    """
    if isinstance(source, Pool):
        return nullcontext(source)
    if isinstance(source, str):
        message_timeout_s = max(REPLY_TIMEOUT_S, (timeout_s or 0.0) + TIMEOUT_MARGIN_S)
        return connect(source, connections, message_timeout_s=message_timeout_s)
    return in_process(source, connections)


@asynccontextmanager
async def in_process(env: Any, connections: int = 1) -> AsyncIterator[Pool]:
    """Serve an environment to a pool through memory, on the running event loop."""
    registry = env if isinstance(env, SessionRegistry) else make_registry(env)
    served: set[asyncio.Task[None]] = set()

    async def serve(channel: FrameChannel) -> None:
        try:
            await serve_channel(registry, channel, SUBPROTOCOL_MSGPACK)
        finally:
            await channel.aclose()

    async def dial() -> Dialed:
        ours, theirs = memory_pair()
        served.add(asyncio.create_task(serve(theirs), name="openenv-in-process"))
        return Dialed(ours, SUBPROTOCOL_MSGPACK)

    await registry.start()
    try:
        async with Pool("memory:", connections, dial=dial) as pool:
            yield pool
    finally:
        await asyncio.gather(*served)
        await registry.aclose()
