"""PolicyThread: a blocking policy on a thread of its own, so that a deadline can leave it behind.

Python cannot end a thread. A policy that hangs keeps its thread, which is a daemon and does not
keep the process from exiting. policy.py decides which policies need this.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("openenv.rollout")


class PolicyThread:
    """Calls a function, one call after the other, each within `timeout_s` from its beginning.

    Calls do not overlap, except with a call that has passed its deadline: it is left behind, and
    another thread makes the next calls. Used on one event loop; `stop` lets the thread end.
    """

    def __init__(self, function: Callable[[Any], Any], timeout_s: float) -> None:
        self._function = function
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._calls: SimpleQueue[tuple[Any, asyncio.Future[Any]] | None] | None = None
        self._left_behind = 0

    async def call(self, argument: Any) -> Any:
        """Return what the function returns, or raise what it raises, or TimeoutError."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if self._calls is None:
                self._calls = SimpleQueue()
                # A daemon: the process can exit although a policy hangs.
                threading.Thread(
                    target=_work,
                    args=(self._function, self._calls, loop),
                    name="openenv-policy",
                    daemon=True,
                ).start()
            future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
            self._calls.put((argument, future))
            try:
                async with asyncio.timeout(self._timeout_s):
                    result, error = await future
            except TimeoutError:
                self.stop()
                self._left_behind += 1
                logger.warning(
                    "a policy took longer than %g s: its thread is left behind (%d so far)",
                    self._timeout_s,
                    self._left_behind,
                )
                raise TimeoutError(
                    f"the policy took longer than {self._timeout_s:g} s; "
                    "its thread is left behind, because a thread cannot be ended"
                ) from None
            except asyncio.CancelledError:
                self.stop()
                raise
        if error is not None:
            raise error
        return result

    def stop(self) -> None:
        """Let the thread end after the call that runs, if any."""
        calls, self._calls = self._calls, None
        if calls is not None:
            calls.put(None)


def _work(
    function: Callable[[Any], Any],
    calls: SimpleQueue[tuple[Any, asyncio.Future[Any]] | None],
    loop: asyncio.AbstractEventLoop,
) -> None:
    while (call := calls.get()) is not None:
        argument, future = call
        result, error = None, None
        try:
            result = function(argument)
        except BaseException as raised:  # noqa: BLE001 - it is raised where the policy was called
            error = raised
        try:
            # Pass the error as a result: Future.set_exception refuses StopIteration.
            loop.call_soon_threadsafe(_tell, future, (result, error))
        except RuntimeError:
            return  # the run is over, and its event loop closed


def _tell(future: asyncio.Future[Any], outcome: tuple[Any, BaseException | None]) -> None:
    if not future.done():
        future.set_result(outcome)
