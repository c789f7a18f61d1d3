"""Requests: what waits for replies on one connection, and who is told when a session ends.

Owns futures and deadlines. Knows nothing of sockets and messages: connection.py brings the replies.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from openenv.errors import OpenEnvError, RequestTimeout, SessionExpired, from_wire, to_wire
from openenv.protocol.columns import has_equal_columns
from openenv.protocol.frames import (
    Cancel,
    Closed,
    Error,
    Event,
    Partial,
    Result,
    Results,
    SegmentOffer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from openenv.protocol.frames import SegmentAnswer

SWEEP_S = 0.1

_FURTHER = (Partial, Event)
"Replies after which there are others."

_NOBODY: Any = (lambda _: None, 0.0, 0)
"Waits in place of who has given up a request."


class SessionListener(Protocol):
    """Who has a session on a connection, and is told when the server ends it."""

    def session_closed(self, reason: str) -> None:
        """The session is gone."""


class Requests:
    """The pending requests of one connection; `push` puts a frame into its next message."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        push: Callable[[Any], None],
        take_apart: Callable[[Results], Sequence[Any]],
        answer_offer: Callable[[SegmentOffer], SegmentAnswer],
    ) -> None:
        self._take_apart = take_apart
        self._answer_offer = answer_offer
        self.farewell: OpenEnvError | None = None
        "What the server said unasked, before it closes."
        self._loop = loop
        self._push = push
        self._pending: dict[int, tuple[Callable[[Any], None], float, int]] = {}
        "Request id -> (what takes the reply, deadline, session)."
        self._listeners: dict[int, SessionListener] = {}
        self._ended: dict[int, str] = {}
        "Session -> why the server has ended it, while a message is being read."
        self._sweep_handle: asyncio.TimerHandle | None = None

    # ---- asking

    def ask(self, frame: Any, timeout_s: float) -> asyncio.Future[Any]:
        """Send a request; the future is its reply frame, which may be an error."""
        loop = self._loop
        future: asyncio.Future[Any] = loop.create_future()
        self._pending[frame.id] = (future.set_result, loop.time() + timeout_s, frame.session)
        self._push(frame)
        if self._sweep_handle is None:
            self._sweep_handle = loop.call_later(SWEEP_S, self._sweep)
        return future

    async def ask_many(self, frames: Sequence[Any], timeout_s: float) -> list[Any]:
        """Send many requests at once; return the reply frames in their order, errors included."""
        batch = BatchSink(len(frames))
        batch.ids = [frame.id for frame in frames]
        self.send([frame.session for frame in frames], frames, timeout_s, batch)
        await self.finish(batch)
        return [batch.replies[request_id] for request_id in batch.ids]

    def send(
        self, sessions: Sequence[int], frames: Sequence[Any], timeout_s: float, taker: ReplySink
    ) -> None:
        """Send the frames of many requests; the taker gets the replies, errors included."""
        takers, deadlines = repeat(taker.take), repeat(self._loop.time() + timeout_s)
        entries = zip(takers, deadlines, sessions, strict=False)  # the first two have no end
        self._pending.update(zip(taker.ids, entries, strict=True))
        for frame in frames:
            self._push(frame)
        if self._sweep_handle is None:
            self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep)

    async def finish(self, batch: BatchSink) -> BatchSink:
        """Wait for all replies of a batch that was sent; when cancelled, give its requests up."""
        try:
            await batch.done
        except asyncio.CancelledError:
            for request_id in batch.ids:
                self.give_up(request_id)
            raise
        return batch

    async def follow(self, frame: Any, timeout_s: float) -> AsyncIterator[Any]:
        """Send a request; yield its partial replies and then its reply. Raises like `ask`."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        deadline_s = self._loop.time() + timeout_s
        self._pending[frame.id] = (queue.put_nowait, deadline_s, frame.session)
        self._push(frame)
        if self._sweep_handle is None:
            self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep)
        try:
            while True:
                reply = await queue.get()
                if type(reply) is Error:
                    raise from_wire(reply.code, reply.message, reply.details)
                yield reply
                if type(reply) is not Partial:
                    return
        finally:
            self.give_up(frame.id)

    def give_up(self, request_id: int) -> None:
        """Forget a request and let the server forget it too. A late reply is dropped by its id."""
        entry = self._pending.pop(request_id, None)
        if entry is not None:
            self._push(Cancel(request_id, entry[2]))

    # ---- replies

    def take(self, frames: Sequence[Any]) -> None:
        """Give the replies of a message to those who wait for them."""
        pop = self._pending.pop
        for frame in frames:
            if type(frame) is not Result:
                self._take_other(frame, type(frame))
                continue
            entry = pop(frame.id, None)
            if entry is None:
                continue
            try:
                entry[0](frame)
            except asyncio.InvalidStateError:
                # Its caller was cancelled in this very turn of the event loop.
                continue
        if self._ended:
            self._refuse_pending()

    def _take_other(self, frame: Any, kind: type) -> None:
        """Take a frame that is not the result of a single step."""
        if kind is Results:
            self._take_columns(frame)
        elif kind is SegmentOffer:
            self._push(self._answer_offer(frame))
        elif not frame.id:
            self._take_news(frame, kind)
        else:
            pending = self._pending
            entry = pending.get(frame.id) if kind in _FURTHER else pending.pop(frame.id, None)
            if entry is not None:
                with suppress(asyncio.InvalidStateError):  # as above
                    entry[0](frame)

    def _take_columns(self, frame: Results) -> None:
        """Give many replies at once to the batch that waits for them, if it is one."""
        pop, nobody = self._pending.pop, _NOBODY
        entries = [pop(request_id, nobody) for request_id in frame.ids]
        takers = set(map(itemgetter(0), entries))
        batch = getattr(takers.pop(), "__self__", None) if len(takers) == 1 else None
        if isinstance(batch, ReplySink) and has_equal_columns(frame, len(entries)):
            batch.take_columns(frame)
            return
        for entry, reply in zip(entries, self._take_apart(frame), strict=True):
            with suppress(asyncio.InvalidStateError):  # as above
                entry[0](reply)

    def _take_news(self, frame: Any, kind: type) -> None:
        if kind is Closed:
            self._ended[frame.session] = frame.reason
            listener = self._listeners.pop(frame.session, None)
            if listener is not None:
                listener.session_closed(frame.reason)
        elif kind is Error:
            # A legacy server that refuses a session says so unasked, and closes.
            self.farewell = from_wire(frame.code, frame.message, frame.details)

    def _refuse_pending(self) -> None:
        """Answer the requests that crossed the news of their session's end.

        The server has no more to say of them, and may be gone before it could.
        """
        ended, self._ended = self._ended, {}
        crossed = [number for number, entry in self._pending.items() if entry[2] in ended]
        for request_id in crossed:
            reason = ended[self._pending[request_id][2]]
            self.take([Error(request_id, *to_wire(SessionExpired(reason)))])

    # ---- sessions

    @property
    def session_count(self) -> int:
        """How many sessions are open."""
        return len(self._listeners)

    def listen(self, number: int, listener: SessionListener) -> None:
        """Tell the listener when the server ends the session."""
        self._listeners[number] = listener

    def forget(self, number: int) -> None:
        """The session is closed: its listener is told nothing more."""
        self._listeners.pop(number, None)

    def lose_all(self, error: OpenEnvError) -> None:
        """Tell every caller and every session that the link is gone."""
        self.take([Error(request_id, *to_wire(error)) for request_id in list(self._pending)])
        listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            listener.session_closed(str(error))

    def stop(self) -> None:
        """Forget the deadlines."""
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
            self._sweep_handle = None

    # ---- deadlines: one sweep for all requests, because a timer for each costs more than a step

    def _sweep(self) -> None:
        self._sweep_handle = None
        now_s = self._loop.time()
        late = [number for number, entry in self._pending.items() if entry[1] <= now_s]
        for request_id in late:
            self._push(Cancel(request_id, self._pending[request_id][2]))
            error = RequestTimeout(
                "no reply in time; whether the request ran is unknown: reset or close the session"
            )
            self.take([Error(request_id, *to_wire(error))])
        if self._pending:
            self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep)


class ReplySink:
    """Takes the replies to many requests as they come, each once: singly, or many in columns."""

    __slots__ = ("ids",)

    ids: Sequence[int]
    "Those of the requests. They follow each other without a gap."

    def take(self, reply: Any) -> None:
        """Take a single reply."""
        raise NotImplementedError

    def take_columns(self, frame: Results) -> None:
        """Take many replies."""
        raise NotImplementedError


class BatchSink(ReplySink):
    """Collects the replies to many requests; `done` is set with the last one."""

    __slots__ = ("_missing", "columns", "done", "replies")

    def __init__(self, count: int) -> None:
        self._missing = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.replies: dict[int, Any] = {}
        "Request id -> reply: those that came singly."
        self.columns: list[Results] = []
        "Those that came together."

    def take(self, reply: Any) -> None:
        """Take a single reply."""
        self.replies[reply.id] = reply
        self._count(1)

    def take_columns(self, frame: Results) -> None:
        """Take many replies."""
        self.columns.append(frame)
        self._count(len(frame.ids))

    def _count(self, replies: int) -> None:
        self._missing -= replies
        if not self._missing and not self.done.done():
            self.done.set_result(None)
