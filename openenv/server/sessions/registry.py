"""SessionRegistry: all sessions and links of one server, from its start to its shutdown.

Begins with the lifespan or, in an app that is mounted without one, with the first request. Slots,
deadlines and tasks are the affair of the files beside it, which host.py joins.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import TYPE_CHECKING

import anyio

from openenv.errors import ConfigurationError, ServerClosing, SessionNotFoundError
from openenv.server.sessions.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.server.config import ServerConfig
    from openenv.server.ports import RegisteredLink
    from openenv.server.runners.spec import EnvironmentSpec
    from openenv.server.runners.thread import EnvironmentThreads
    from openenv.server.sessions.deadlines import DeadlineSweep
    from openenv.server.sessions.services import SessionServices
    from openenv.server.sessions.slots import SessionSlots
    from openenv.server.sessions.task_group import HostedTaskGroup
    from openenv.server.watching.spectators import Spectators
    from openenv.server.workers.pool import WorkerPool

IDLE_SWEEP_S = 5.0
"How often all sessions are looked at for idle ones, unless their limit is a matter of seconds."

POLL_S = 0.005
LAST_REPLIES_S = 1.0
"How long clients that read slowly may take, after a drain, to read that their sessions have ended."


class SessionRegistry:
    """The sessions of one server. Use on one event loop; `start` and `aclose` bound its life."""

    def __init__(
        self,
        spec: EnvironmentSpec,
        services: SessionServices,
        slots: SessionSlots,
        deadlines: DeadlineSweep,
        tasks: HostedTaskGroup,
        threads: EnvironmentThreads,
        workers: WorkerPool | None = None,
    ) -> None:
        self.spec = spec
        self.config: ServerConfig = services.config
        self.sessions: dict[str, Session] = services.by_token
        "By token. Those that wait for a slot are here too."
        self.links: dict[str, RegisteredLink] = {}
        "By token: the native links, attached or waiting for their client."
        self.spectators: Spectators | None = services.spectators
        self.workers = workers
        "The processes in which environments run, if that is where they run."
        self.is_draining = False
        self.spawn = tasks.spawn
        self._services = services
        self._slots = slots
        self._deadlines = deadlines
        self._tasks = tasks
        self._threads = threads
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_started = False
        self._idle_swept_at_s = 0.0

    # ---- life

    async def start(self) -> None:
        """Begin to host sessions on the running event loop. Idempotent."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            raise ConfigurationError(
                "a server lives on one event loop, and this one has lived on another"
            )
        if self._is_started:
            return
        if self._loop is None:
            self._loop = loop
            self._threads.start(loop)
            self._deadlines.start(loop)
            self._tasks.start()
        if self.workers is not None:
            try:
                await self.workers.start()
            except ConfigurationError:
                await self.aclose()
                raise
        self._is_started = True

    async def aclose(self, reason: str = "the server has shut down") -> None:
        """End every session and link, and wait until their environments are closed."""
        self.is_draining = True
        if self._loop is None:
            return
        self._end_all(reason)
        with anyio.move_on_after(self.config.close_timeout_s + 1):
            while self.sessions:
                self._deadlines.arm()
                await asyncio.sleep(POLL_S)
        for link in list(self.links.values()):
            link.end()
        if self.workers is not None:
            await self.workers.aclose()
        await self.spec.close_shared()
        await self._tasks.stop()
        self._threads.stop()
        self._deadlines.stop()
        self._loop = None
        self._is_started = self.is_draining = False

    async def drain(self, reason: str = "the server is shutting down") -> None:
        """Open no more sessions; end each when its call is complete, and tell its client.

        Takes `drain_timeout_s` at most, and what closing takes.
        """
        self.is_draining = True
        patience_s = self.config.drain_timeout_s
        self._end_all(reason, patience_s)
        limit_s = patience_s + self.config.close_timeout_s + 1
        await _wait_until(lambda: not self.sessions, limit_s)
        await _wait_until(
            lambda: not any(link.has_unsent for link in self.links.values()), LAST_REPLIES_S
        )

    def _end_all(self, reason: str, patience_s: float | None = None) -> None:
        # First those that wait for a slot: or else they would get those of the others.
        for session in sorted(self.sessions.values(), key=lambda session: session.has_slot):
            session.end(reason, patience_s, is_draining=self.is_draining)

    # ---- sessions

    def open(self, label: str | None = None) -> Session:
        """Make a session; its `open` must follow. Raises ServerClosing."""
        if self.is_draining:
            raise ServerClosing("the server is shutting down and takes no new sessions")
        self._deadlines.arm()
        session = Session(self._services, self.new_token(), label)
        self.sessions[session.token] = session
        return session

    def find(self, token: str) -> Session:
        """Return the living session of this token. Raises SessionNotFoundError."""
        session = self.sessions.get(token)
        if session is None:
            raise SessionNotFoundError(token)
        return session

    @property
    def shared(self) -> Session | None:
        """The living session of an environment that is one shared instance."""
        return next(iter(self.sessions.values()), None) if self.spec.is_shared else None

    def unheld_shared(self) -> Session | None:
        """Return the shared instance's session if only HTTP has used it: a link may have it."""
        session = self.shared
        is_free = session is not None and session.holder is None and session.has_slot
        return session if is_free else None

    def new_token(self) -> str:
        """Return a name that cannot be guessed."""
        return secrets.token_hex(16)

    @property
    def active(self) -> int:
        """How many sessions have a slot."""
        return self._slots.taken

    @property
    def max_sessions(self) -> int:
        """How many sessions can have one at once."""
        return self._slots.limit

    @property
    def now_s(self) -> float:
        """The event loop's clock at the last sweep of deadlines."""
        return self._deadlines.now_s

    # ---- links

    def add_link(self, link: RegisteredLink) -> None:
        """Remember a native link, so that its client can come back to it."""
        self.links[link.token] = link
        self._deadlines.arm()

    def remove_link(self, link: RegisteredLink) -> None:
        """Forget a link that has ended."""
        self.links.pop(link.token, None)

    # ---- health

    @property
    def hung_threads(self) -> int:
        """How many threads hang in a call that was given up."""
        return self._threads.hung

    @property
    def health(self) -> str:
        """healthy; degraded while threads hang, or worker processes hang or are missing.

        Unhealthy while no session can be opened for reasons that won't pass.
        """
        if self.is_draining or self._tasks.has_failed:
            return "unhealthy"
        if self.workers is not None:
            return self.workers.health
        if self.hung_threads:
            return "unhealthy" if self.hung_threads >= self.max_sessions else "degraded"
        return "healthy"

    # ---- the sweep

    def sweep(self, now_s: float) -> bool:
        """End expired links and idle sessions; return whether there is more to look at.

        Called by the sweep of deadlines.
        """
        for link in [link for link in self.links.values() if link.is_expired(now_s)]:
            link.end("its client did not come back in time")
        if now_s - self._idle_swept_at_s >= min(IDLE_SWEEP_S, self._shortest_idle_s() / 4):
            self._idle_swept_at_s = now_s
            self._end_idle(now_s)
        return bool(self.sessions or self.links)

    def _shortest_idle_s(self) -> float:
        limits = (self.config.session_timeout_s, self.config.idle_timeout_s)
        return min((limit for limit in limits if limit is not None), default=math.inf)

    def _end_idle(self, now_s: float) -> None:
        always_s = self.config.idle_timeout_s
        for session in list(self.sessions.values()):
            idle_s = now_s - session.touched_at_s
            is_held = session.holder is not None and session.holder.is_live
            unheld_s = session.idle_limit_s or self.config.session_timeout_s
            if session.is_busy:
                continue
            if (always_s is not None and idle_s > always_s) or (
                unheld_s is not None and not is_held and idle_s > unheld_s
            ):
                session.end(f"idle for {idle_s:.0f} s")


async def _wait_until(is_so: Callable[[], bool], limit_s: float) -> None:
    """Look now and then, because nothing announces it: that would cost every step."""
    with anyio.move_on_after(limit_s):
        await asyncio.sleep(POLL_S)
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
