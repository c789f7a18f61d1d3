"""HostedTaskGroup: an anyio task group that outlives whatever asks it for tasks.

anyio's groups must be entered and left by one task, and take new tasks from within tasks only. Here
a host task does both, so that callbacks of the event loop can ask for tasks, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

logger = logging.getLogger("openenv.server")


class HostedTaskGroup:
    """Begins with `start`, ends with `stop`, which cancels what still runs; then starts anew."""

    def __init__(self) -> None:
        self._asked_for: deque[tuple[Callable[..., Coroutine[Any, Any, Any]], tuple[Any, ...]]]
        self._asked_for = deque()
        self._work = asyncio.Event()
        self._is_stopping = False
        self._host: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether tasks can be asked for."""
        return self._host is not None and not self._host.done()

    @property
    def has_failed(self) -> bool:
        """Whether the host has ended although nobody has stopped it."""
        return self._host is not None and self._host.done()

    def start(self) -> None:
        """Run the host on the running event loop, unless it runs."""
        if self._host is None:
            self._work, self._is_stopping = asyncio.Event(), False
            self._host = asyncio.get_running_loop().create_task(
                self._run(), name="openenv-sessions"
            )

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        if self._host is not None:
            self._is_stopping = True
            self._work.set()
            # Not `await self._host`: a host that was cancelled would cancel the caller.
            await asyncio.wait([self._host])
            self._host = None
            # What was asked for in the last turn belongs to this life, and ends with it.
            self._asked_for.clear()

    def spawn(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        """Start a task in the next turn of the event loop; also from callbacks of the loop."""
        assert self._host is not None
        self._asked_for.append((function, arguments))
        self._work.set()

    async def _run(self) -> None:
        async with anyio.create_task_group() as group:
            while not self._is_stopping:
                await self._work.wait()
                self._work.clear()
                while self._asked_for and not self._is_stopping:
                    function, arguments = self._asked_for.popleft()
                    group.start_soon(_guarded, function, *arguments)
            group.cancel_scope.cancel()


async def _guarded(function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
    """Let no task end the group, and with it every session of the server.

    A task that ends as cancelled would: anyio takes that for a cancellation of the group.
    """
    try:
        await function(*arguments)
        # A task that has cancelled itself is told so at its next await, which must be here.
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        logger.debug("a task of the server was cancelled")
    except Exception:
        logger.exception("a task of the server failed; the others go on")
