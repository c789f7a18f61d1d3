"""WorkerPool: starts the worker processes, assigns environments to them, and replaces dead ones.

When a worker dies, only its own environments are lost: their sessions get WorkerDied, and the pool
starts another worker. Knows nothing of messages: process.py talks to one worker, and program.py is
what runs in it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

import anyio

from openenv.errors import ConfigurationError, SessionCreationError
from openenv.server.workers.process import WorkerProcess

if TYPE_CHECKING:
    from openenv.protocol.frames import Request
    from openenv.server.config import ServerConfig
    from openenv.server.ports import Deadlines, Origin, Spawn
    from openenv.server.runners.spec import EnvironmentSpec
    from openenv.server.workers.blueprint import Blueprint
    from openenv.server.workers.runner import WorkerRunner

logger = logging.getLogger("openenv.server")

STABLE_S = 1.0
"""A worker that was ready for less than this is replaced after a pause, which doubles with every
such death. The first such death in a row causes no pause."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WorkerPool:
    """The workers of one registry: `config.workers` of them, or one per core we may use."""

    def __init__(
        self,
        spec: EnvironmentSpec,
        config: ServerConfig,
        blueprint: Blueprint,
        spawn: Spawn,
        deadlines: Deadlines,
    ) -> None:
        self.spec = spec
        self.config = config
        self.blueprint = blueprint
        self.deadlines = deadlines
        self._spawn = spawn
        self.count = config.workers or _usable_cores()
        self.restarts = 0
        self._workers: list[WorkerProcess | None] = [None] * self.count
        self._pauses_s = [0.0] * self.count
        self._waiting: list[tuple[WorkerRunner, Request, Origin]] = []
        "Requests that arrived while no worker was free but one was being replaced."
        self._complaint = ""
        self._closing = asyncio.Event()
        self._kept = 0
        self._changed = asyncio.Event()
        "Set whenever a worker has become ready, has died, or is no longer kept."

    # ---- life

    async def start(self) -> None:
        """Start the workers, and wait until they are ready. Raises ConfigurationError."""
        if not self._kept:
            # An event belongs to one event loop, and this start may run in another than the last.
            self._closing, self._changed = asyncio.Event(), asyncio.Event()
        # If two requests start the pool at once, the second one only waits.
        for place in range(self.count if not self._kept else 0):
            self._pauses_s[place] = 0.0
            self._workers[place] = self._make()
            self._kept += 1
            self._spawn(self._keep, place)
        while any(worker is not None and not worker.is_ready for worker in self._workers):
            await self._change()
        if not self.running:
            await self.aclose()
            raise ConfigurationError(f"no worker process could be started: {self._complaint}")

    async def aclose(self) -> None:
        """End the workers and wait for it. Close their sessions before."""
        self._closing.set()
        for worker in self._workers:
            if worker is not None:
                worker.stop()
        while self._kept:
            await self._change()

    # ---- sessions

    def assign(self, runner: WorkerRunner, frame: Request, origin: Origin) -> WorkerProcess | None:
        """Return the worker with the fewest sessions.

        None while a worker is being replaced: the pool then calls `runner.start` again later.
        Raises SessionCreationError if no worker is free and none is being replaced.
        """
        usable = [worker for worker in self._workers if worker is not None and worker.is_usable]
        if not self.spec.convention.is_concurrent:
            usable = [worker for worker in usable if not worker.load]
        if not usable:
            if any(worker is not None and not worker.is_usable for worker in self._workers):
                self._waiting.append((runner, frame, origin))
                return None
            raise SessionCreationError(
                "no worker process is free: they died too often, and start again after a pause"
            )
        worker = min(usable, key=lambda worker: (worker.is_blocked, worker.load))
        worker.host(runner)
        return worker

    # ---- health

    @property
    def health(self) -> str:
        """Healthy; degraded while not all workers answer, unhealthy while none does."""
        answering = self.running - self.blocked
        if answering == self.count or not self._kept:
            return "healthy"
        return "degraded" if answering else "unhealthy"

    @property
    def running(self) -> int:
        """How many workers are ready."""
        return sum(worker is not None and worker.is_ready for worker in self._workers)

    @property
    def blocked(self) -> int:
        """How many workers hang in an abandoned call."""
        return sum(worker is not None and worker.is_blocked for worker in self._workers)

    # ---- replacement

    def wake(self, complaint: str = "") -> None:
        """Wake `start` and `aclose`; `complaint` is why a worker could not become ready."""
        self._complaint = complaint or self._complaint
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _make(self) -> WorkerProcess | None:
        try:
            return WorkerProcess(self)
        except OSError as error:  # no more processes, memory or file descriptors
            logger.exception("a worker process could not be started")
            self._complaint = str(error)
            return None

    async def _keep(self, place: int) -> None:
        """Run the worker at this place and its replacements, until the pool is closed."""
        try:
            while True:
                worker = self._workers[place]
                if worker is not None:
                    await worker.run()
                self._replace(place, worker)
                self.wake()
                if self._workers[place] is not None:
                    continue
                with anyio.move_on_after(self._pauses_s[place]):
                    await self._closing.wait()
                if self._closing.is_set():
                    return
                self._workers[place] = self._make()
        finally:
            self._kept -= 1
            self.wake()

    def _replace(self, place: int, worker: WorkerProcess | None) -> None:
        """Replace a worker that has ended, at once or by leaving its place empty for a pause.

        Tells its sessions, and starts the waiting requests again.
        """
        self._workers[place] = None
        if not self._closing.is_set():
            self.restarts += 1
            pause_s = self._pauses_s[place]
            if worker is not None and worker.lived_s > STABLE_S:
                pause_s = self._pauses_s[place] = 0.0
            else:
                self._pauses_s[place] = min(max(pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            # The first early death of a worker that was ready costs no pause: it may be chance.
            if not pause_s and worker is not None and worker.lived_s:
                self._workers[place] = self._make()
        if worker is not None:
            if not self._closing.is_set():
                logger.error("%s; another takes its place", worker.exit_reason)
            worker.on_exit()
        waiting, self._waiting = self._waiting, []
        for runner, frame, origin in waiting:
            if not runner.is_abandoned:
                runner.start(frame, origin)
