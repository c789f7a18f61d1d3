"""Flight: the requests of a vector that are under way, and what has come of those that are not.

Owns what is sent to which session when (a step, or a reset where an episode is over), and the order
in which results become ready. Knows nothing of arrays: vector.py makes them of the outcomes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from openenv.errors import OpenEnvError, from_wire
from openenv.protocol.frames import Error, Reset

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openenv.client.env import EnvClient
    from openenv.protocol.frames import Result


class Outcome(msgspec.Struct):
    """What has come of one request to the session `index`."""

    index: int
    shown: Any = None
    "The reply whose observation is the session's from now on; None if there is none."
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    is_final: bool = False
    "Whether an episode ended and another was begun at once: then `shown` is the other's first."
    final: Any = None
    "The reply that ended it; None if an error did."
    error: OpenEnvError | None = None


class Flight:
    """The sessions of one vector, from their first reset until `close`.

    A session whose step fails is over, as if it had been truncated. With `begins_at_once` an
    episode that is over is followed by the next one before its outcome is ready.
    """

    def __init__(
        self, clients: Sequence[EnvClient[Any, Any, Any]], *, begins_at_once: bool, wait_s: float
    ) -> None:
        self._clients = clients
        self._begins_at_once = begins_at_once
        self._wait_s = wait_s
        self.in_flight: set[int] = set()
        "Sessions with a request that is not answered, or whose outcome has not been taken."
        self.over: set[int] = set()
        "Sessions whose episode is over."
        self.unbegun = set(range(len(clients)))
        "Sessions that have never been reset."
        self._ending: dict[int, Outcome] = {}
        "Outcomes that wait for the first observation of the next episode."
        self._ready: deque[Outcome] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 0
        self._reopening: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def step(
        self, indices: Iterable[int], payloads: Iterable[Any], timeout_s: float | None
    ) -> None:
        """Send a step to each of these sessions, which have episodes."""
        for index, payload in zip(indices, payloads, strict=True):
            self.in_flight.add(index)
            session = self._clients[index]._session
            try:
                frame = session.step_frame(payload, timeout_s)
                self._ask(index, frame, session.patience_for(timeout_s))
            except OpenEnvError as error:
                self._fail(index, error)

    def begin(
        self, index: int, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> None:
        """Begin an episode in a session, which is opened again if it was lost."""
        self.in_flight.add(index)
        self.unbegun.discard(index)
        session = self._clients[index]._session
        if not session.is_open:
            task = asyncio.create_task(self._reopen(index, seed, options), name="openenv-reopen")
            self._reopening.add(task)
            task.add_done_callback(self._reopening.discard)
            return
        try:
            frame = session.reset_frame(seed, None, options)
            self._ask(index, frame, session.patience_s)
        except OpenEnvError as error:
            self._fail(index, error, was_begin=True)

    @property
    def is_received(self) -> bool:
        """Whether somebody waits for outcomes."""
        return self._waiter is not None

    async def receive(self, count: int) -> list[Outcome]:
        """Return the first outcomes that are ready, waiting for them. Cancelling loses none."""
        while len(self._ready) < count:
            self._wanted = count
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        take = self._ready.popleft
        outcomes = [take() for _ in range(count)]
        self.in_flight.difference_update([outcome.index for outcome in outcomes])
        return outcomes

    async def close(self) -> None:
        """End all sessions. Raises the first error of those that could not be ended."""
        self._is_closed = True
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

    # ---- requests and replies

    def _ask(self, index: int, frame: Any, patience_s: float) -> None:
        asked: Any = self._clients[index]._session.connection.request(frame, patience_s)
        asked.add_done_callback(partial(self._replied, index, type(frame) is Reset))

    async def _reopen(self, index: int, seed: int | None, options: dict[str, Any] | None) -> None:
        try:
            await self._clients[index]._session.open(self._wait_s)
        except OpenEnvError as error:
            self._fail(index, error, was_begin=True)
        else:
            self.begin(index, seed, options)

    def _replied(self, index: int, was_begin: bool, asked: asyncio.Future[Any]) -> None:
        if self._is_closed or asked.cancelled():
            return
        reply = asked.result()
        if type(reply) is Error:
            error = from_wire(reply.code, reply.message, reply.details)
            self._fail(index, error, was_begin=was_begin)
        elif was_begin:
            self._begun(index, reply)
        else:
            self._stepped(index, reply)

    def _stepped(self, index: int, reply: Result) -> None:
        outcome = Outcome(index, reply, reply.reward or 0.0, reply.done, reply.truncated)
        if not (reply.done or reply.truncated):
            self._finish(outcome)
        elif self._begins_at_once:
            outcome.final = reply
            self._go_on(outcome)
        else:
            self.over.add(index)
            self._finish(outcome)

    def _begun(self, index: int, reply: Result) -> None:
        self._clients[index]._session.take_outcome(reply)
        self.over.discard(index)
        outcome = self._ending.pop(index, None) or Outcome(index)
        outcome.shown = reply
        self._finish(outcome)

    def _fail(self, index: int, error: OpenEnvError, *, was_begin: bool = False) -> None:
        self._clients[index]._session.take_outcome(error)
        self.over.add(index)
        outcome = self._ending.pop(index, None) or Outcome(index, truncated=True)
        # Why an episode ended says more than why the next one did not begin.
        outcome.error = outcome.error or error
        if self._begins_at_once and not was_begin:
            self._go_on(outcome)
        else:
            self._finish(outcome)

    def _go_on(self, outcome: Outcome) -> None:
        outcome.is_final = True
        self._ending[outcome.index] = outcome
        self.begin(outcome.index)

    def _finish(self, outcome: Outcome) -> None:
        self._ready.append(outcome)
        waiter = self._waiter
        if waiter is not None and len(self._ready) >= self._wanted and not waiter.done():
            waiter.set_result(None)
