"""watch: see the sessions of a server, whoever has opened them, without touching them.

A spectator has a link of its own, which carries nothing else. Between two events that are asked for
the newest of each session wins, so that who is slow lags behind in nothing but detail.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from openenv.client.link.link import ClientLink
from openenv.client.link.requests import ReplySink
from openenv.codec import decode_any
from openenv.errors import ConfigurationError, OpenEnvError, Unsupported, from_wire
from openenv.protocol.frames import MAX_FRAMES_PER_S, WATCH, Error, Event, Summary, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from openenv.arrays import Encoding
    from openenv.protocol.frames import Reply

__all__ = ["Summary", "WatchEvent", "watch"]


class WatchEvent(NamedTuple):
    """What has changed since the last event."""

    sessions: list[Summary]
    "As they are now; the first events have all."
    ended: list[str]
    "Which sessions have ended, by the names that their summaries call them."


async def watch(
    url: str,
    *,
    label: str | None = None,
    sessions: Collection[str] | None = None,
    observations: bool = True,
    frames_per_s: float = MAX_FRAMES_PER_S,
    connect_timeout_s: float = 10.0,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[WatchEvent]:
    """Yield what happens in the sessions of a server that allows it, until it is left.

    The first event comes at once, also where there is no session. `label` chooses the sessions of
    that label and of those below it (`train` means `train/7` too), `sessions` those of these public
    names. Without `observations` summaries have no action, observation and metadata. A lost socket
    is replaced. Raises Unsupported, ConnectError, ConnectionLost, ConfigurationError.
    """
    if not frames_per_s > 0:
        raise ConfigurationError(f"frames_per_s must be greater than 0, not {frames_per_s}")
    link = ClientLink.to(url, connect_timeout_s=connect_timeout_s, headers=headers)
    try:
        await link.open()
        if WATCH not in link.capabilities:
            raise Unsupported(
                f"the server at {url} does not let its sessions be watched: "
                "start it with --watch, or with OPENENV_WATCH=true"
            )
        names = None if sessions is None else list(sessions)
        frame = Watch(link.next_id(), label, names, observations, frames_per_s)
        newest = _Newest(frame.id)
        link.send_many([0], [frame], math.inf, newest)
        while True:
            yield await newest.event(link.encoding)
    finally:
        await link.aclose()


class _Newest(ReplySink):
    """Takes events as they come, and keeps the newest of each session until it is asked for."""

    __slots__ = ("_ended", "_error", "_news", "_summaries")

    def __init__(self, watch_id: int) -> None:
        self.ids = [watch_id]
        self._summaries: dict[str, Summary] = {}
        self._ended: list[str] = []
        self._error: OpenEnvError | None = None
        self._news = asyncio.Event()

    def on_reply(self, reply: Reply) -> None:
        """Keep the news of an event, or the error that ends the events."""
        if isinstance(reply, Error):
            self._error = from_wire(reply.code, reply.message, reply.details)
        elif isinstance(reply, Event):
            self._summaries.update({summary.session: summary for summary in reply.sessions})
            for name in reply.ended:
                self._summaries.pop(name, None)
            self._ended += reply.ended
        self._news.set()

    async def event(self, encoding: Encoding) -> WatchEvent:
        """Return what is new, as soon as there is something. Raises what has ended it."""
        await self._news.wait()
        if self._error is not None:
            raise self._error
        self._news.clear()
        summaries, self._summaries = self._summaries, {}
        ended, self._ended = self._ended, []
        for summary in summaries.values():
            for name in ("action", "observation"):
                if isinstance(raw := getattr(summary, name), msgspec.Raw):
                    setattr(summary, name, decode_any(raw, encoding))
        return WatchEvent(list(summaries.values()), ended)
