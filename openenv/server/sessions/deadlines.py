"""DeadlineSweep: all deadlines of a server, looked at by one timer.

A timer per call would cost more than a step. Knows nothing of what has a deadline, and of what else
the owner looks at when the timer fires.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from openenv.server.ports import Expirable

SWEEP_S = 0.05
"How often deadlines are looked at."


class DeadlineSweep:
    """Ticks while there is something to look at: a deadline, or what `on_sweep` says."""

    def __init__(self, on_sweep: Callable[[float], bool]) -> None:
        """`on_sweep(now_s)` is called with each sweep; it returns whether the next is needed."""
        self.now_s = 0.0
        "The event loop's clock at the last sweep: good enough for idle times, and free."
        self.pending: dict[Expirable, float] = {}
        "When each deadline passes, by the event loop's clock."
        self._on_sweep = on_sweep
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    # ---- life

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use this event loop's clock from now on."""
        self._loop = loop
        self.now_s = loop.time()

    def stop(self) -> None:
        """Look at nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop = None

    def arm(self) -> None:
        """Sweep, from now on, if that is not under way."""
        if self._timer is None and self._loop is not None:
            # While there was nothing to look at, `now_s` stood still.
            self.now_s = self._loop.time()
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)

    # ---- deadlines

    def set(self, target: Expirable, timeout_s: float) -> None:
        """Call `expire_deadline` after this long, unless the deadline is cleared or set anew."""
        assert self._loop is not None
        self.pending[target] = self._loop.time() + timeout_s
        self.arm()

    def bring_forward(self, target: Expirable, timeout_s: float) -> None:
        """Set a deadline, unless an earlier one is set."""
        assert self._loop is not None
        if self.pending.get(target, math.inf) > self._loop.time() + timeout_s:
            self.set(target, timeout_s)

    def clear(self, target: Expirable) -> None:
        """Forget a deadline, if there is one."""
        self.pending.pop(target, None)

    def pop(self, target: Expirable) -> float | None:
        """Forget a deadline; return how much time was left."""
        assert self._loop is not None
        at_s = self.pending.pop(target, None)
        return None if at_s is None else at_s - self._loop.time()

    def _sweep(self) -> None:
        assert self._loop is not None
        self._timer = None
        now_s = self.now_s = self._loop.time()
        for target in [target for target, at_s in self.pending.items() if at_s <= now_s]:
            # The expiry of an earlier one may have cleared this deadline, or set it anew.
            if self.pending.get(target, math.inf) <= now_s:
                del self.pending[target]
                target.expire_deadline()
        if self._on_sweep(now_s) or self.pending:
            self.arm()
