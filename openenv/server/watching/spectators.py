"""Spectators: sends the state of sessions to clients that watch them, without slowing the sessions.

Owns which client watches which sessions, the one timer that sends, and the limits of both. A
spectator that reads slowly is skipped, and gets the newest state when it has caught up. views.py
encodes what is shown of a session; links/link.py passes on the requests to watch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from openenv.errors import RemoteProtocolError, TooManyRequests
from openenv.protocol.frames import COALESCE_BYTES, MAX_FRAMES_PER_S, MIN_MESSAGE_BYTES, Event
from openenv.server.watching.views import RATE_S, Form, SessionView

if TYPE_CHECKING:
    from openenv.protocol.frames import Unwatch, Watch
    from openenv.server.ports import Deadlines, SpectatorLink, WatchedSession
    from openenv.server.runners.spec import EnvironmentSpec

TICK_S = 1 / MAX_FRAMES_PER_S

BURST_S = TICK_S / 20
"How long all spectators together may keep the event loop at once."

SHARE, BUSY_SHARE = 0.05, 0.01
"The share of the event loop's time for spectators: while it is idle, and while it is busy."

BUSY = 0.5
"An event loop counts as busy when it computes for this share of its time."

EVENTS_AHEAD = 8
"""How many rounds may be sent but not acknowledged. A client acknowledges after 0.1 s; over a
network that takes another 0.1 s, 30 rounds a second need about this many."""

MAX_WATCHES = 8
"For each link."


class Watching:
    """One client's request to watch."""

    __slots__ = (
        "_next_s",
        "_under_way",
        "ended",
        "form",
        "frame",
        "interval_s",
        "link",
        "names",
        "pending",
        "shown",
    )

    def __init__(self, link: SpectatorLink, frame: Watch) -> None:
        self.link = link
        self.frame = frame
        self.form = Form(link.protocol.wire, frame.observations)
        self.names = None if frame.sessions is None else frozenset(frame.sessions)
        self.interval_s = 1 / min(frame.frames_per_s, MAX_FRAMES_PER_S)
        self.pending: dict[SessionView, None] = {}
        "Sessions that have changed since they were last sent, the longest waiting first."
        self.shown: set[SessionView] = set()
        self.ended: list[str] = []
        "Public names of ended sessions that the client has seen and must be told of."
        self._next_s = 0.0
        self._under_way: deque[int] = deque()
        "Numbers of the last message of each round that the client has not acknowledged."

    def wants(self, view: SessionView) -> bool:
        """Whether the client has asked for this session."""
        if self.names is not None and view.name not in self.names:
            return False
        wanted, label = self.frame.label, view.session.label
        return wanted is None or label == wanted or (label or "").startswith(f"{wanted}/")

    def forget(self, view: SessionView) -> None:
        """Send nothing more of a session that has ended; tell the client if it has seen it."""
        self.pending.pop(view, None)
        if view in self.shown:
            self.shown.remove(view)
            self.ended.append(view.name)

    def is_due(self, now_s: float) -> bool:
        """Whether something has changed, the interval has passed, and the client keeps up."""
        if not (self.pending or self.ended) or not self.link.is_live:
            return False
        link, under_way = self.link.protocol.link, self._under_way
        while under_way and under_way[0] <= link.acknowledged:
            under_way.popleft()
        if len(under_way) >= EVENTS_AHEAD or not self.link.outbox.has_room:
            return False
        # Timers fire a little early or late. Half a tick of tolerance keeps a client that asks
        # for every tick from losing one.
        if now_s < self._next_s - TICK_S / 2:
            return False
        self._next_s = max(self._next_s + self.interval_s, now_s)
        return True

    def show(self, until_s: float) -> None:
        """Send pending sessions until `until_s` of this thread's CPU time, and at least one."""
        while True:
            # Now, so that the time for encoding is charged to the spectators' budget.
            self.link.outbox.send_now(self._collect(until_s))
            if not self.pending or time.thread_time() >= until_s:
                break
        # Frames that are not numbered yet go into message `sent + 1` or later.
        self._under_way.append(self.link.protocol.link.sent + bool(self.link.outbox.writer.frames))

    def _collect(self, until_s: float) -> Event:
        summaries: list[Any] = []
        size_bytes = 0
        limit_bytes = self.link.protocol.peer_max_message_bytes - MIN_MESSAGE_BYTES
        while self.pending and size_bytes < COALESCE_BYTES:
            view = next(iter(self.pending))
            del self.pending[view]
            self.shown.add(view)
            summary = view.summary(self.form)
            if memoryview(summary).nbytes > limit_bytes:
                summary = view.summary(Form(self.form.wire, with_payloads=False))
            if summaries and size_bytes + memoryview(summary).nbytes > limit_bytes:
                # It would make this message too large: put it back, first in line.
                self.pending = {view: None, **self.pending}
                break
            summaries.append(summary)
            size_bytes += memoryview(summary).nbytes
            if time.thread_time() >= until_s:
                break
        ended, self.ended = self.ended, []
        return Event(self.frame.id, summaries, ended)


class Spectators:
    """The spectators of one registry. Only a server that allows watching has this object."""

    def __init__(self, spec: EnvironmentSpec, deadlines: Deadlines) -> None:
        self.spec = spec
        self.deadlines = deadlines
        self.changed: list[SessionView] = []
        "Sessions that have changed since the last tick, each once."
        self.forms: frozenset[Form] = frozenset()
        "The encodings that at least one spectator wants."
        self._views: set[SessionView] = set()
        self._watches: dict[tuple[SpectatorLink, int], Watching] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._counted_at_s = 0.0
        self._rested_s = (0.0, 0.0)
        "When the last tick ended: by the clock, and in the thread's busy time (`_busy_s`)."

    @property
    def is_ticking(self) -> bool:
        """Whether anybody watches."""
        return self._timer is not None

    # ---- sessions come and go

    def add(self, session: WatchedSession) -> SessionView:
        """Return the view of a new session, and show it to the spectators that want it."""
        view = SessionView(session, self)
        self._views.add(view)
        for watching in self._watches.values():
            self._let_see(watching, view)
        return view

    def remove(self, view: SessionView) -> None:
        """Drop the view of a session that has ended, and tell its spectators."""
        self._views.discard(view)
        for watching in view.watches:
            watching.forget(view)
        view.watches.clear()

    # ---- spectators come and go

    def watch(self, link: SpectatorLink, frame: Watch) -> None:
        """Begin a watch, and send the sessions that exist now.

        Raises TooManyRequests, RemoteProtocolError.
        """
        if (link, frame.id) in self._watches:
            raise RemoteProtocolError(f"{frame.id} is the id of another watch")
        if sum(watching.link is link for watching in self._watches.values()) >= MAX_WATCHES:
            raise TooManyRequests(f"a link has {MAX_WATCHES} watches at most: unwatch one first")
        watching = Watching(link, frame)
        self._watches[link, frame.id] = watching
        self.forms |= {watching.form}
        for view in self._views:
            self._let_see(watching, view)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._counted_at_s = loop.time()
            self._rest(loop, TICK_S)
        watching.show(time.thread_time() + BURST_S)

    def unwatch(self, link: SpectatorLink, frame: Unwatch) -> None:
        """End a watch, and reply to the request."""
        watching = self._watches.get((link, frame.watch))
        if watching is not None:
            self._end([watching])
        link.reply(Event(frame.id))

    def forget(self, link: SpectatorLink) -> None:
        """End the watches of a link that has ended."""
        self._end([watching for watching in self._watches.values() if watching.link is link])

    def _end(self, ended: list[Watching]) -> None:
        for watching in ended:
            del self._watches[watching.link, watching.frame.id]
            for view in watching.pending.keys() | watching.shown:
                view.leave(watching)
        self.forms = frozenset(watching.form for watching in self._watches.values())
        if not self._watches and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.changed.clear()

    def _let_see(self, watching: Watching, view: SessionView) -> None:
        if watching.wants(view):
            view.follow(watching)
            watching.pending[view] = None

    # ---- the timer

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s, began_s = loop.time(), time.thread_time()
        share = SHARE - (SHARE - BUSY_SHARE) * self._load(now_s)
        if now_s - self._counted_at_s >= RATE_S:
            self._count(now_s - self._counted_at_s)
            self._counted_at_s = now_s
        try:
            self._spread()
            due = [watching for watching in self._watches.values() if watching.is_due(now_s)]
            for watching in due:
                watching.show(time.thread_time() + BURST_S / len(due))
        finally:
            # An error in one watch must not stop the timer for the others.
            if self._watches:
                self._rest(loop, max(TICK_S, (time.thread_time() - began_s) / share))

    def _load(self, now_s: float) -> float:
        """Return how busy the event loop was since the last tick, from 0 to 1."""
        rested_s, rested_busy_s = self._rested_s
        load = (_busy_s() - rested_busy_s) / max(now_s - rested_s, TICK_S)
        return min(1.0, load / BUSY)

    def _rest(self, loop: asyncio.AbstractEventLoop, pause_s: float) -> None:
        self._rested_s = (loop.time(), _busy_s())
        self._timer = loop.call_later(pause_s, self._tick, loop)

    def _spread(self) -> None:
        """Add the sessions that have changed to the pending ones of their watches."""
        changed, self.changed = self.changed, []
        for view in changed:
            view.outdate()
            for watching in view.watches:
                watching.pending[view] = None

    def _count(self, elapsed_s: float) -> None:
        for view in self._views:
            view.count(elapsed_s)


def _busy_s() -> float:
    """Return how long this thread has computed or waited for a core, in seconds."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            computed_ns, waited_ns, _ = map(int, file.read().split())
    except (OSError, ValueError):  # not on Linux, or a kernel that does not count
        return time.thread_time()
    return (computed_ns + waited_ns) / 1e9
