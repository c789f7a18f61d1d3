"""Requests: the pending requests of one link, and the sessions that hear when the server ends them.

Owns futures and deadlines. Knows nothing of sockets and messages: link.py brings the frames.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING

from openenv.errors import OpenEnvError, RequestTimeout, SessionExpired, from_wire, to_wire
from openenv.protocol.columns import has_equal_columns
from openenv.protocol.frames import (
    Cancel,
    Closed,
    Error,
    Event,
    Partial,
    Reply,
    Result,
    Results,
    SegmentOffer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from openenv.client.ports import SessionListener
    from openenv.protocol.frames import (
        ClientFrame,
        Request,
        SegmentAnswer,
        ServerFrame,
        Step,
        Steps,
        Watch,
    )

    Pending = tuple[Callable[[Reply], None], float, int]
    "What gets the reply, the deadline, and the number of the session."

SWEEP_S = 0.1
"How often deadlines are checked."


def _drop(_: Reply) -> None:
    """Drop the reply to a request that was given up."""


_GIVEN_UP: Pending = (_drop, 0.0, 0)


class Requests:
    """The pending requests of one link; `push` puts a frame into its next message.

    `split` returns the single results in a frame of many, `answer_offer` the answer to an offer of
    shared memory.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        push: Callable[[ClientFrame], None],
        split: Callable[[Results], Sequence[Reply]],
        answer_offer: Callable[[SegmentOffer], SegmentAnswer],
    ) -> None:
        self._split = split
        self._answer_offer = answer_offer
        self.unsolicited_error: OpenEnvError | None = None
        "An error that answers no request: a legacy server sends one before it closes."
        self._loop = loop
        self._push = push
        self._pending: dict[int, Pending] = {}
        "By request id."
        self._listeners: dict[int, SessionListener] = {}
        "By session number."
        self._ended: dict[int, str] = {}
        "Session number -> why the server has ended it, while a message is being read."
        self._sweep_handle: asyncio.TimerHandle | None = None

    # ---- asking

    def ask(self, frame: Request, timeout_s: float) -> asyncio.Future[Reply]:
        """Send a request; the future is its reply frame, which may be an error."""
        loop = self._loop
        future: asyncio.Future[Reply] = loop.create_future()
        self._pending[frame.id] = (future.set_result, loop.time() + timeout_s, frame.session)
        self._push(frame)
        if self._sweep_handle is None:
            self._sweep_handle = loop.call_later(SWEEP_S, self._sweep)
        return future

    async def ask_many(self, frames: Sequence[Request], timeout_s: float) -> list[Reply]:
        """Send many requests at once; return the reply frames in their order, errors included."""
        batch = BatchSink(len(frames))
        batch.ids = [frame.id for frame in frames]
        self.send([frame.session for frame in frames], frames, timeout_s, batch)
        await self.finish(batch)
        return [batch.replies[request_id] for request_id in batch.ids]

    def send(
        self,
        sessions: Sequence[int],
        frames: Sequence[Request | Steps | Watch],
        timeout_s: float,
        sink: ReplySink,
    ) -> None:
        """Send the frames of many requests; the sink gets the replies, errors included."""
        receivers, deadlines = repeat(sink.on_reply), repeat(self._loop.time() + timeout_s)
        entries = zip(receivers, deadlines, sessions, strict=False)  # the first two have no end
        self._pending.update(zip(sink.ids, entries, strict=True))
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

    async def follow(self, frame: Step, timeout_s: float) -> AsyncIterator[Reply]:
        """Send a request; yield its partial replies and then its reply.

        Raises the error that the reply is, RequestTimeout among others. The deadline is that of the
        whole stream.
        """
        queue: asyncio.Queue[Reply] = asyncio.Queue()
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
        """Forget a request and cancel it on the server. A late reply is dropped by its id."""
        entry = self._pending.pop(request_id, None)
        if entry is not None:
            self._push(Cancel(request_id, entry[2]))

    # ---- replies

    def receive(self, frames: Sequence[ServerFrame]) -> None:
        """Give the replies of a message to the callers that wait for them."""
        pop = self._pending.pop
        for frame in frames:
            if type(frame) is not Result:
                self._receive_other(frame)
                continue
            entry = pop(frame.id, None)
            if entry is None:
                continue
            try:
                entry[0](frame)
            except asyncio.InvalidStateError:
                # The caller was cancelled in this same turn of the event loop.
                continue
        if self._ended:
            self._refuse_pending()

    def _receive_other(self, frame: ServerFrame) -> None:
        """Handle a frame that is not the result of a single step."""
        if isinstance(frame, Results):
            self._receive_columns(frame)
        elif isinstance(frame, SegmentOffer):
            self._push(self._answer_offer(frame))
        elif not frame.id:
            self._receive_news(frame)
        elif isinstance(frame, Reply):
            # After a partial result or an event, others with the same id follow.
            has_more = isinstance(frame, Partial | Event)
            pending = self._pending
            entry = pending.get(frame.id) if has_more else pending.pop(frame.id, None)
            if entry is not None:
                # The caller may have been cancelled in this same turn of the event loop.
                with suppress(asyncio.InvalidStateError):
                    entry[0](frame)

    def _receive_columns(self, frame: Results) -> None:
        """Give many replies to the sink that waits for all of them, or else each to its caller."""
        pop, given_up = self._pending.pop, _GIVEN_UP
        entries = [pop(request_id, given_up) for request_id in frame.ids]
        receivers = set(map(itemgetter(0), entries))
        # A sink's receiver is its bound method.
        sink = getattr(receivers.pop(), "__self__", None) if len(receivers) == 1 else None
        if isinstance(sink, ReplySink) and has_equal_columns(frame, len(entries)):
            sink.on_columns(frame)
            return
        for entry, reply in zip(entries, self._split(frame), strict=True):
            # The caller may have been cancelled in this same turn of the event loop.
            with suppress(asyncio.InvalidStateError):
                entry[0](reply)

    def _receive_news(self, frame: ServerFrame) -> None:
        """Handle a frame that answers no request."""
        if isinstance(frame, Closed):
            self._ended[frame.session] = frame.reason
            listener = self._listeners.pop(frame.session, None)
            if listener is not None:
                listener.session_closed(frame.reason)
        elif isinstance(frame, Error):
            self.unsolicited_error = from_wire(frame.code, frame.message, frame.details)

    def _refuse_pending(self) -> None:
        """Fail the requests that were under way when the server ended their session.

        The server has received them too late to answer, and may be gone before it could.
        """
        ended, self._ended = self._ended, {}
        late = [request_id for request_id, entry in self._pending.items() if entry[2] in ended]
        for request_id in late:
            reason = ended[self._pending[request_id][2]]
            self.receive([Error(request_id, *to_wire(SessionExpired(reason)))])

    # ---- sessions

    @property
    def session_count(self) -> int:
        """How many sessions are open."""
        return len(self._listeners)

    def listen(self, number: int, listener: SessionListener) -> None:
        """Tell the listener when the server ends the session."""
        self._listeners[number] = listener

    def forget(self, number: int) -> None:
        """Remove a session's listener, because the session is closed."""
        self._listeners.pop(number, None)

    def lose_all(self, error: OpenEnvError) -> None:
        """Tell every session and every caller that the link is gone.

        Sessions first: a caller that asks again at once must not do so in a session that is lost.
        """
        listeners, self._listeners = self._listeners, {}
        for listener in listeners.values():
            listener.session_closed(str(error))
        self.receive([Error(request_id, *to_wire(error)) for request_id in list(self._pending)])

    def stop(self) -> None:
        """Forget the deadlines."""
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
            self._sweep_handle = None

    # ---- deadlines: one sweep for all requests, because a timer for each costs more than a step

    def _sweep(self) -> None:
        self._sweep_handle = None
        now_s = self._loop.time()
        late = [request_id for request_id, entry in self._pending.items() if entry[1] <= now_s]
        for request_id in late:
            self._push(Cancel(request_id, self._pending[request_id][2]))
            error = RequestTimeout(
                "no reply in time; whether the request ran is unknown: reset or close the session"
            )
            self.receive([Error(request_id, *to_wire(error))])
        if self._pending:
            self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep)


class ReplySink:
    """Gets the replies to many requests as they come, each once: singly, or many in columns."""

    __slots__ = ("ids",)

    ids: Sequence[int]
    "The ids of the requests, which follow each other without a gap."

    def on_reply(self, reply: Reply) -> None:
        """Handle a single reply."""
        raise NotImplementedError

    def on_columns(self, frame: Results) -> None:
        """Handle many replies."""
        raise NotImplementedError


class BatchSink(ReplySink):
    """Collects the replies to many requests; `done` is set with the last one."""

    __slots__ = ("_missing", "columns", "done", "replies")

    def __init__(self, count: int) -> None:
        self._missing = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.replies: dict[int, Reply] = {}
        "By request id: the replies that came singly."
        self.columns: list[Results] = []
        "The replies that came together."

    def on_reply(self, reply: Reply) -> None:
        """Keep a single reply."""
        self.replies[reply.id] = reply
        self._count(1)

    def on_columns(self, frame: Results) -> None:
        """Keep many replies."""
        self.columns.append(frame)
        self._count(len(frame.ids))

    def _count(self, replies: int) -> None:
        self._missing -= replies
        if not self._missing and not self.done.done():
            self.done.set_result(None)
