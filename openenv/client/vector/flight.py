"""VectorRequests: the requests of a vector that are under way, and the outcomes that are ready.

Owns what each session is sent (a step, or a reset where its episode is over) and the order in which
outcomes become ready. Knows nothing of arrays: results.py makes them of the outcomes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from openenv.client.batch import link_of, send_steps
from openenv.client.link.requests import ReplySink
from openenv.errors import LocalProtocolError, OpenEnvError, from_wire
from openenv.protocol.columns import single_results
from openenv.protocol.frames import Error

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from openenv.client.env import EnvClient
    from openenv.client.link.link import ClientLink
    from openenv.protocol.frames import Result, Results

    AnyClient = EnvClient[Any, Any, Any]


_NUMBER = attrgetter("_number")


class StepOutcome(msgspec.Struct):
    """The outcome of one request to the session `index`."""

    index: int
    shown: Any = None
    "The reply with the session's new observation; None if there is no new one."
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    is_final: bool = False
    "Whether an episode ended and the next began at once; then `shown` begins the next one."
    final: Any = None
    "The reply that ended the episode; None if an error did."
    error: OpenEnvError | None = None


class BatchReply(msgspec.Struct):
    """The outcomes of many sessions' steps, column by column; none of them has failed."""

    indices: list[int]
    frame: Any


Arrival = StepOutcome | BatchReply
"What `receive` returns: the outcome of one session, or those of many."


class VectorRequests:
    """The sessions of one vector, from their first reset until `close`.

    A session whose step fails is over, as if it had been truncated. With `begins_at_once` an
    episode that is over is followed by the next one before its outcome is ready.
    """

    def __init__(
        self, clients: Sequence[AnyClient], *, begins_at_once: bool, wait_s: float
    ) -> None:
        self._clients = clients
        self._sessions = [client._session for client in clients]
        self._begins_at_once = begins_at_once
        self._wait_s = wait_s
        self._links: dict[ClientLink, list[int]] = {}
        for index, client in enumerate(clients):
            self._links.setdefault(link_of(client), []).append(index)
        self.in_flight: set[int] = set()
        "Sessions with a request that is not answered, or whose outcome has not been received."
        self.over: set[int] = set()
        "Sessions whose episode is over."
        self.unbegun = set(range(len(clients)))
        "Sessions that have never been reset."
        self._ending: dict[int, StepOutcome] = {}
        "Outcomes that wait for the first observation of the next episode."
        self._ready: deque[Arrival] = deque()
        self._ready_count = 0
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 0
        self._reopening: set[asyncio.Task[None]] = set()
        self._is_closed = False

    # ---- asking

    def step(
        self,
        payloads: Sequence[Any] | Mapping[int, Any],
        timeout_s: float | None,
        among: Container[int] | None = None,
    ) -> None:
        """Send each session its payload, or each that is `among` these.

        Where an episode is over, the next one is begun instead.
        """
        over = self.over
        *others, last = self._links
        for link, indices_of_link in self._links.items():
            indices = indices_of_link
            if among is not None:
                indices = [index for index in indices if index in among]
            if over:
                for index in indices:
                    if index in over:
                        self.begin(index)
                indices = [index for index in indices if index not in over]
            if indices:
                rows = list(map(payloads.__getitem__, indices))
                self._send(link, indices, rows, timeout_s)
            if others and link is not last:
                # The server begins with these while the requests of the other links are made.
                link.write_now()

    def begin(
        self, index: int, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> None:
        """Begin an episode in a session, which is opened again if it was lost."""
        self.in_flight.add(index)
        self.unbegun.discard(index)
        session = self._sessions[index]
        if not session.is_open:
            task = asyncio.create_task(self._reopen(index, seed, options), name="openenv-reopen")
            self._reopening.add(task)
            task.add_done_callback(self._reopening.discard)
            return
        try:
            frame = session.reset_frame(seed, None, options)
            sink = _ResetSink(self, index, frame.id)
            link_of(self._clients[index]).send_many(
                [frame.session], [frame], session.patience_s, sink
            )
        except OpenEnvError as error:
            self.failed(index, error, was_begin=True)

    def _send(
        self, link: ClientLink, indices: list[int], rows: list[Any], timeout_s: float | None
    ) -> None:
        self.in_flight.update(indices)
        sessions = self._sessions
        first = sessions[indices[0]]
        try:
            numbers: list[Any] = list(map(_NUMBER, map(sessions.__getitem__, indices)))
            if None in numbers:
                numbers = [sessions[index].steppable_number() for index in indices]
            patience_s = first.patience_for(timeout_s)
            send_steps(link, numbers, rows, timeout_s, patience_s, _StepSink(self, indices))
        except OpenEnvError as error:
            if len(indices) == 1:
                self.failed(indices[0], error)
                return
            # One of the sessions cannot be stepped: send each alone, so that only that one fails.
            for index, row in zip(indices, rows, strict=True):
                self._send(link, [index], [row], timeout_s)

    async def _reopen(self, index: int, seed: int | None, options: dict[str, Any] | None) -> None:
        try:
            await self._sessions[index].open(self._wait_s)
        except OpenEnvError as error:
            self.failed(index, error, was_begin=True)
        else:
            self.begin(index, seed, options)

    # ---- receiving

    @property
    def is_received(self) -> bool:
        """Whether a task waits in `receive`."""
        return self._waiter is not None

    async def receive(self, count: int) -> list[Arrival]:
        """Wait for `count` outcomes and return the first that are ready.

        A cancelled call leaves them to the next one.
        """
        while self._ready_count < count:
            self._wanted = count
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._ready_count -= count
        arrivals: list[Arrival] = []
        while count:
            arrival = self._ready.popleft()
            if type(arrival) is BatchReply and len(arrival.indices) > count:
                singles = self._singles(arrival.indices, arrival.frame)
                self._ready.extendleft(map(_outcome, reversed(arrival.indices), reversed(singles)))
                continue
            indices = arrival.indices if type(arrival) is BatchReply else [arrival.index]  # type: ignore[union-attr]
            self.in_flight.difference_update(indices)
            count -= len(indices)
            arrivals.append(arrival)
        return arrivals

    async def close(self) -> None:
        """End all sessions. Raises the first error of those that could not be ended."""
        self._is_closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(LocalProtocolError("the vector was closed meanwhile"))
        for task in self._reopening:
            task.cancel()
        if self._reopening:
            await asyncio.wait(self._reopening)
        ended = await asyncio.gather(
            *(client.close() for client in self._clients), return_exceptions=True
        )
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    # ---- replies

    def on_columns(self, indices: list[int], frame: Results) -> None:
        """Handle the replies to steps of these sessions."""
        if True in frame.done or True in frame.truncated:
            if self._begins_at_once:
                for index, reply in zip(indices, self._singles(indices, frame), strict=True):
                    self.on_reply(index, reply, was_begin=False)
                return
            ends = zip(indices, frame.done, frame.truncated, strict=True)
            self.over.update(index for index, done, truncated in ends if done or truncated)
        self._add_ready(BatchReply(indices, frame), len(indices))

    def on_reply(self, index: int, reply: Any, *, was_begin: bool) -> None:
        """Handle the reply to a request of this session."""
        if self._is_closed:
            return
        if type(reply) is Error:
            error = from_wire(reply.code, reply.message, reply.details)
            self.failed(index, error, was_begin=was_begin)
        elif was_begin:
            self._on_reset(index, reply)
        else:
            self._on_step(_outcome(index, reply))

    def failed(self, index: int, error: OpenEnvError, *, was_begin: bool = False) -> None:
        """Handle an error in place of a reply."""
        self._sessions[index].note_outcome(error)
        self.over.add(index)
        outcome = self._ending.pop(index, None) or StepOutcome(index, truncated=True)
        # The error that ended the episode says more than the one of the reset after it.
        outcome.error = outcome.error or error
        if self._begins_at_once and not was_begin:
            self._begin_next(outcome)
        else:
            self._add_ready(outcome, 1)

    def _on_step(self, outcome: StepOutcome) -> None:
        if not (outcome.terminated or outcome.truncated):
            self._add_ready(outcome, 1)
        elif self._begins_at_once:
            outcome.final = outcome.shown
            self._begin_next(outcome)
        else:
            self.over.add(outcome.index)
            self._add_ready(outcome, 1)

    def _on_reset(self, index: int, reply: Result) -> None:
        self._sessions[index].note_outcome(reply)
        self.over.discard(index)
        outcome = self._ending.pop(index, None) or StepOutcome(index)
        outcome.shown = reply
        self._add_ready(outcome, 1)

    def _begin_next(self, outcome: StepOutcome) -> None:
        outcome.is_final, outcome.shown = True, None
        self._ending[outcome.index] = outcome
        self.begin(outcome.index)

    def _singles(self, indices: list[int], frame: Results) -> list[Result | Error]:
        return single_results(frame, link_of(self._clients[indices[0]]).wire)

    def _add_ready(self, arrival: Arrival, count: int) -> None:
        self._ready.append(arrival)
        self._ready_count += count
        waiter = self._waiter
        if waiter is not None and self._ready_count >= self._wanted and not waiter.done():
            waiter.set_result(None)


def _outcome(index: int, reply: Any) -> StepOutcome:
    if type(reply) is Error:
        error = from_wire(reply.code, reply.message, reply.details)
        return StepOutcome(index, truncated=True, error=error)
    return StepOutcome(index, reply, reply.reward or 0.0, reply.done, reply.truncated)


class _StepSink(ReplySink):
    """Gets the replies to steps of the sessions `indices`."""

    __slots__ = ("_flight", "_indices")

    def __init__(self, flight: VectorRequests, indices: list[int]) -> None:
        self._flight = flight
        self._indices = indices

    def on_reply(self, reply: Any) -> None:
        """Handle a single reply."""
        self._flight.on_reply(self._indices[reply.id - self.ids[0]], reply, was_begin=False)

    def on_columns(self, frame: Results) -> None:
        """Handle many replies."""
        indices = self._indices
        if frame.ids != self.ids:
            first = self.ids[0]
            indices = [indices[number - first] for number in frame.ids]
        self._flight.on_columns(indices, frame)


class _ResetSink(ReplySink):
    """Gets the reply to a reset of the session `index`."""

    __slots__ = ("_flight", "_index")

    def __init__(self, flight: VectorRequests, index: int, request_id: int) -> None:
        self.ids = [request_id]
        self._flight = flight
        self._index = index

    def on_reply(self, reply: Any) -> None:
        """Handle the reply."""
        self._flight.on_reply(self._index, reply, was_begin=True)
