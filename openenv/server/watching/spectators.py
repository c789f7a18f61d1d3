"""Spectators: shows sessions to clients that watch them, and never at the sessions' cost.

Owns who watches what, the one timer that shows it, and the bounds of both. A spectator that is slow
to read is passed over, and gets the newest when it has caught up. What is shown of a session is
views.py's affair, who is asked to be shown it link.py's.
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
    from openenv.server.links.link import SessionLink
    from openenv.server.sessions.session import Session

TICK_S = 1 / MAX_FRAMES_PER_S

BURST_S = TICK_S / 20
"How long all spectators together may keep the event loop at once."

SHARE, BUSY_SHARE = 0.05, 0.01
"How much of the event loop's time they take: of one that has nothing to do, and of a busy one."

BUSY = 0.5
"An event loop that has something to do for so much of its time is a busy one."

EVENTS_AHEAD = 8
"""How many rounds may be under way to a spectator. At 30 a second that is what a client needs that
acknowledges after 0.1 s, over a network that takes as long."""

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

    def __init__(self, link: SessionLink, frame: Watch) -> None:
        self.link = link
        self.frame = frame
        self.form = Form(link.protocol.wire, frame.observations)
        self.names = None if frame.sessions is None else frozenset(frame.sessions)
        self.interval_s = 1 / min(frame.frames_per_s, MAX_FRAMES_PER_S)
        self.pending: dict[SessionView, None] = {}
        "What has changed since it was last shown, in the order of changing."
        self.shown: set[SessionView] = set()
        self.ended: list[str] = []
        "Of those that were shown."
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
        """The session has ended."""
        self.pending.pop(view, None)
        if view in self.shown:
            self.shown.remove(view)
            self.ended.append(view.name)

    def is_due(self, now_s: float) -> bool:
        """Whether there is something to show, the time has come, and the client can keep up."""
        if not (self.pending or self.ended) or not self.link.is_live:
            return False
        link, under_way = self.link.protocol.link, self._under_way
        while under_way and under_way[0] <= link.acknowledged:
            under_way.popleft()
        if len(under_way) >= EVENTS_AHEAD or not self.link.outbox.has_room:
            return False
        # A timer is a little early or late: who asks for every tick gets every tick.
        if now_s < self._next_s - TICK_S / 2:
            return False
        self._next_s = max(self._next_s + self.interval_s, now_s)
        return True

    def show(self, until_s: float) -> None:
        """Send what is pending, as much as there is time for, and one session at least."""
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
                # It is the first of the next message.
                self.pending = {view: None, **self.pending}
                break
            summaries.append(summary)
            size_bytes += memoryview(summary).nbytes
            if time.thread_time() >= until_s:
                break
        ended, self.ended = self.ended, []
        return Event(self.frame.id, summaries, ended)


class Spectators:
    """Of one registry whose server lets its sessions be watched; on its event loop."""

    def __init__(self) -> None:
        self.changed: list[SessionView] = []
        "Sessions of which something is new since the last tick, each once."
        self.forms: frozenset[Form] = frozenset()
        "In which sessions are shown."
        self._views: set[SessionView] = set()
        self._watches: dict[tuple[SessionLink, int], Watching] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._counted_at_s = 0.0
        self._rested_s = (0.0, 0.0)
        "When the last tick was done: by the clock, and of the time that the thread was not idle."

    @property
    def is_ticking(self) -> bool:
        """Whether anybody watches."""
        return self._timer is not None

    # ---- sessions come and go

    def add(self, session: Session) -> SessionView:
        """Let a session be seen from now on."""
        view = SessionView(session, self)
        self._views.add(view)
        for watching in self._watches.values():
            self._let_see(watching, view)
        return view

    def remove(self, view: SessionView) -> None:
        """The session has ended."""
        self._views.discard(view)
        for watching in view.watches:
            watching.forget(view)
        view.watches.clear()

    # ---- spectators come and go

    def watch(self, link: SessionLink, frame: Watch) -> None:
        """Show sessions to a client, what there is at once.

        Raises TooManyRequests, RemoteProtocolError.
        """
        if (link, frame.id) in self._watches:
            raise RemoteProtocolError(f"{frame.id} is the id of another watch")
        if sum(one.link is link for one in self._watches.values()) >= MAX_WATCHES:
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

    def unwatch(self, link: SessionLink, frame: Unwatch) -> None:
        """Show them no more."""
        watching = self._watches.get((link, frame.watch))
        if watching is not None:
            self._end([watching])
        link.reply(Event(frame.id))

    def forget(self, link: SessionLink) -> None:
        """The link has ended, and with it its watches."""
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

    # ---- view

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
            # Whatever has failed, the others go on watching.
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
        """Let each spectator know what has changed."""
        changed, self.changed = self.changed, []
        for view in changed:
            view.outdate()
            for watching in view.watches:
                watching.pending[view] = None

    def _count(self, elapsed_s: float) -> None:
        for view in self._views:
            view.count(elapsed_s)


def _busy_s() -> float:
    """Return how long this thread has computed, or has waited for a core that others had."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            computed_ns, waited_ns, _ = map(int, file.read().split())
    except (OSError, ValueError):  # not on Linux, or a kernel that does not count
        return time.thread_time()
    return (computed_ns + waited_ns) / 1e9
