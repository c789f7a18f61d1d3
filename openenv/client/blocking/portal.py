"""The portal: one event loop on a daemon thread, shared by all blocking clients of a process.

The first use makes it. A forked child makes another, because threads do not survive a fork. It is
stopped at exit. Knows nothing of clients.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from anyio.from_thread import start_blocking_portal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.from_thread import BlockingPortal

T = TypeVar("T")

THREAD_NAME = "openenv-portal"


class _Shared:
    """The portal of one process, and what stops it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.portal: BlockingPortal | None = None
        self.stack = ExitStack()

    def get(self) -> BlockingPortal:
        with self.lock:
            if self.portal is None:
                context = start_blocking_portal(backend="asyncio", name=THREAD_NAME)
                self.portal = self.stack.enter_context(context)
            return self.portal

    def stop(self) -> None:
        with self.lock:
            self.portal = None
            self.stack.close()


_shared = _Shared()
_left_behind: list[_Shared] = []


def run(function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Call an async function on the shared loop and return its result; about 60 us of overhead.

    Works inside a running event loop too, which it blocks. Ctrl-C cancels the call.
    """
    future = _shared.get().start_task_soon(function, *arguments)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def stop() -> None:
    """Stop the shared loop; the next call makes a new one."""
    _shared.stop()


def _forget() -> None:
    """Forget the parent's portal in a forked child, which has neither its thread nor its lock."""
    global _shared
    # Collecting the old portal would wait for a thread that does not exist here, so keep it.
    _left_behind.append(_shared)
    _shared = _Shared()


atexit.register(stop)
os.register_at_fork(after_in_child=_forget)
