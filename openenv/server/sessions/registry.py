"""SessionRegistry: all sessions of a server: slots, tokens, deadlines, expiry, shutdown.

Owns the task group in which anything that belongs to a session runs, so that a session outlives the
socket that opened it. Starts with the lifespan or, in an app that is mounted without one, with the
first request.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections import deque
from typing import TYPE_CHECKING, Any

import anyio

from openenv.errors import (
    ConcurrencyConfigurationError,
    ConfigurationError,
    OpenEnvError,
    ServerClosing,
    SessionCapacityError,
    SessionNotFoundError,
)
from openenv.server.config import DEFAULT_SESSIONS, ServerConfig
from openenv.server.runners.inline import Runner, TaskRunner
from openenv.server.runners.thread import EnvironmentThread, LoopBridge, ThreadRunner
from openenv.server.sessions.session import Session
from openenv.server.watching.spectators import Spectators
from openenv.server.workers.pool import WorkerPool
from openenv.server.workers.runner import WorkerRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from openenv.server.links.link import SessionLink
    from openenv.server.runners.calls import EnvironmentCalls
    from openenv.server.workers.blueprint import Blueprint

logger = logging.getLogger("openenv.server")

SWEEP_S = 0.05
"How often deadlines are looked at."

IDLE_SWEEP_S = 5.0
"How often all sessions are looked at for idle ones, unless their limit is a matter of seconds."

RETRY_AFTER_S = 1.0

POLL_S = 0.005
FAREWELL_S = 1.0
"How long clients that read slowly may take, after a drain, to read that their sessions have ended."


class SessionRegistry:
    """The sessions of one server. Use on one event loop; `start` and `aclose` bound its life."""

    def __init__(
        self, calls: EnvironmentCalls, config: ServerConfig, blueprint: Blueprint | None = None
    ) -> None:
        self.calls = calls
        self.config = config
        self.workers = None if blueprint is None else WorkerPool(self, blueprint, config.workers)
        "The processes in which environments run, if that is where they run."
        self.step_timeout_s = config.step_timeout_s
        self.max_sessions = _max_sessions(calls, config, self.workers)
        self.sessions: dict[str, Session] = {}
        "By token. Those that wait for a slot are here too."
        self.links: dict[str, SessionLink] = {}
        "By token: the native links, attached or waiting for their client."
        self.deadlines: dict[Session, float] = {}
        self.now_s = 0.0
        "The event loop's clock at the last sweep: good enough for idle times, and free."
        self.active = 0
        self.spectators = Spectators() if config.watch else None
        self.is_draining = False
        self._waiting: deque[Session] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bridge: LoopBridge | None = None
        self._group: asyncio.TaskGroup | None = None
        self._spawned: set[asyncio.Task[Any]] = set()
        self._host: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None
        self._started = asyncio.Event()
        self._sweep_handle: asyncio.TimerHandle | None = None
        self._shared_thread: EnvironmentThread | None = None
        self._idle_swept_at_s = 0.0

    # ---- life

    async def start(self) -> None:
        """Begin to host sessions on the running event loop. Idempotent."""
        if self._group is not None:
            return
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            raise ConfigurationError(
                "a server lives on one event loop, and this one has lived on another"
            )
        if self._host is None:
            self._loop, self._stop, self._started = loop, asyncio.Event(), asyncio.Event()
            self._bridge = LoopBridge(loop)
            self._host = loop.create_task(self._run_host(), name="openenv-registry")
        await self._started.wait()
        if self.workers is not None:
            try:
                await self.workers.start()
            except ConfigurationError:
                await self.aclose()
                raise

    async def aclose(self, reason: str = "the server has shut down") -> None:
        """End every session and link, and wait until their environments are closed."""
        self.is_draining = True
        if self._host is None or self._stop is None:
            return
        self._end_all(reason)
        with anyio.move_on_after(self.config.close_timeout_s + 1):
            while self.sessions:
                self._arm_sweep()
                await asyncio.sleep(0.005)
        for link in list(self.links.values()):
            link.end()
        if self.workers is not None:
            await self.workers.aclose()
        await self.calls.close_shared()
        self._stop.set()
        await self._host
        if self._shared_thread is not None:
            self._shared_thread.stop()
        if self._sweep_handle is not None:
            self._sweep_handle.cancel()
            self._sweep_handle = None
        self._host = self._group = self._loop = None
        self.is_draining = False

    async def drain(self, reason: str = "the server is shutting down") -> None:
        """Take no new sessions; end each when what runs in it is done, and tell its client.

        Takes `drain_timeout_s` at most, and what closing takes.
        """
        self.is_draining = True
        patience_s = self.config.drain_timeout_s
        self._end_all(reason, patience_s)
        limit_s = patience_s + self.config.close_timeout_s + 1
        await _wait_until(lambda: not self.sessions, limit_s)
        await _wait_until(
            lambda: not any(link.has_unsent for link in self.links.values()), FAREWELL_S
        )

    def spawn(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        """Run something in the registry's task group; also from callbacks of the event loop.

        asyncio's group, because anyio's takes new tasks from within tasks only.
        """
        assert self._group is not None
        task = self._group.create_task(_guarded(function, *arguments))
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)

    # ---- sessions

    def open(self, label: str | None = None) -> Session:
        """Make a session; its `open` must follow. Raises ServerClosing."""
        if self.is_draining:
            raise ServerClosing("the server is shutting down and takes no new sessions")
        self._arm_sweep()
        session = Session(self, self.new_token(), label)
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
        return next(iter(self.sessions.values()), None) if self.calls.is_shared else None

    def unheld_shared(self) -> Session | None:
        """Return the shared instance's session if only HTTP has used it: a link may have it."""
        session = self.shared
        is_free = session is not None and session.holder is None and session.has_slot
        return session if is_free else None

    def remove(self, session: Session, reason: str) -> None:
        """Forget a session that has ended, give its slot to the next, tell who holds it."""
        self.sessions.pop(session.token, None)
        self.deadlines.pop(session, None)
        if session.has_slot:
            session.has_slot = False
            self.active -= 1
        if session.view is not None and self.spectators is not None:
            self.spectators.remove(session.view)
        if session in self._waiting:
            self._waiting.remove(session)
        if session.holder is not None:
            session.holder.session_ended(session, reason)
        while self._waiting and self.active < self.max_sessions:
            waiting = self._waiting.popleft()
            self.deadlines.pop(waiting, None)
            self._give_slot(waiting)
            waiting.take_slot()

    def take_slot(self, session: Session) -> bool:
        """Give a session a slot, if there is one and nobody waits for it."""
        if self.active >= self.max_sessions or self._waiting:
            return False
        self._give_slot(session)
        return True

    def _give_slot(self, session: Session) -> None:
        self.active += 1
        session.has_slot = True
        if self.spectators is not None:
            session.view = self.spectators.add(session)

    def wait_for_slot(self, session: Session, wait_s: float) -> None:
        """Put a session into the queue for slots."""
        self._waiting.append(session)
        self.set_deadline(session, wait_s)

    def capacity_error(self) -> OpenEnvError:
        """Return what a client is told for which there is no slot."""
        return SessionCapacityError(self.active, self.max_sessions, RETRY_AFTER_S)

    def make_runner(self, session: Session) -> Runner:
        """Return a runner for a new environment, where its class wants to be run."""
        execution = self.calls.execution
        if execution == "inline":
            return Runner(self.calls, session)
        if execution == "await":
            return TaskRunner(self.calls, session)
        if execution == "process":
            return WorkerRunner(self.calls, session)
        return ThreadRunner(self.calls, session, self._make_thread)

    def _make_thread(self) -> EnvironmentThread:
        assert self._bridge is not None
        if not self.calls.shares_thread:
            return EnvironmentThread(self._bridge)
        if self._shared_thread is None or self._shared_thread.is_hung:
            self._shared_thread = EnvironmentThread(self._bridge, is_shared=True)
        return self._shared_thread

    def new_token(self) -> str:
        """Return a name that cannot be guessed."""
        return secrets.token_hex(16)

    # ---- links

    def add_link(self, link: SessionLink) -> None:
        """Remember a native link, so that its client can come back to it."""
        self.links[link.token] = link
        self._arm_sweep()

    def remove_link(self, link: SessionLink) -> None:
        """Forget a link that has ended."""
        self.links.pop(link.token, None)

    # ---- health

    @property
    def hung_threads(self) -> int:
        """How many threads hang in a call that was given up."""
        return 0 if self._bridge is None else self._bridge.hung_threads

    @property
    def health(self) -> str:
        """healthy; degraded while threads hang, or worker processes hang or are missing.

        Unhealthy while no session can be opened for reasons that won't pass.
        """
        if self.is_draining or (self._host is not None and self._host.done()):
            return "unhealthy"
        if self.workers is not None:
            return self.workers.health
        if self.hung_threads:
            return "unhealthy" if self.hung_threads >= self.max_sessions else "degraded"
        return "healthy"

    # ---- deadlines: one sweep for all of them, because a timer per call costs more than a step

    def set_deadline(self, session: Session, timeout_s: float) -> None:
        """Call `expire_deadline` of the session after this long, unless it is cleared."""
        assert self._loop is not None
        self.deadlines[session] = self._loop.time() + timeout_s
        self._arm_sweep()

    def bring_deadline_forward(self, session: Session, timeout_s: float) -> None:
        """Set a deadline, unless an earlier one is set."""
        assert self._loop is not None
        if self.deadlines.get(session, math.inf) > self._loop.time() + timeout_s:
            self.set_deadline(session, timeout_s)

    def clear_deadline(self, session: Session) -> None:
        """Forget a session's deadline."""
        self.deadlines.pop(session, None)

    def _end_all(self, reason: str, patience_s: float | None = None) -> None:
        # First those that wait for a slot: or else they would get those of the others.
        for session in [*self._waiting, *self.sessions.values()]:
            session.end(reason, patience_s)

    def _arm_sweep(self) -> None:
        if self._sweep_handle is None and self._loop is not None:
            # While nothing was there to look at, the clock stood still.
            self.now_s = self._loop.time()
            self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        assert self._loop is not None
        self._sweep_handle = None
        now_s = self.now_s = self._loop.time()
        for session in [session for session, at_s in self.deadlines.items() if at_s <= now_s]:
            self.deadlines.pop(session, None)
            session.expire_deadline()
        for link in [link for link in self.links.values() if link.is_expired(now_s)]:
            link.end("its client did not come back in time")
        if now_s - self._idle_swept_at_s >= min(IDLE_SWEEP_S, self._shortest_idle_s() / 4):
            self._idle_swept_at_s = now_s
            self._end_idle(now_s)
        if self.sessions or self.links or self.deadlines:
            self._arm_sweep()

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

    async def _run_host(self) -> None:
        assert self._stop is not None
        assert self._loop is not None
        self.now_s = self._loop.time()
        async with asyncio.TaskGroup() as self._group:
            self._started.set()
            await self._stop.wait()
            for task in self._spawned:
                task.cancel()


async def _guarded(function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
    """Let no task end the group, and with it every session of the server."""
    try:
        await function(*arguments)
    except Exception:
        logger.exception("a task of the server failed; the others go on")


async def _wait_until(is_so: Callable[[], bool], limit_s: float) -> None:
    """Look now and then, because nothing announces it: that would cost every step."""
    with anyio.move_on_after(limit_s):
        await asyncio.sleep(POLL_S)
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)


def _max_sessions(calls: EnvironmentCalls, config: ServerConfig, workers: WorkerPool | None) -> int:
    asked = config.max_concurrent_envs
    if workers is not None and not calls.is_concurrent:
        # One at once in each process is what such a class asks for.
        if asked is not None and asked > workers.count:
            raise ConcurrencyConfigurationError(calls.name, asked)
        return asked or workers.count
    if asked is None:
        return DEFAULT_SESSIONS[calls.execution] if calls.is_concurrent else 1
    if asked > 1 and not calls.is_concurrent:
        raise ConcurrencyConfigurationError(calls.name, asked)
    return asked
