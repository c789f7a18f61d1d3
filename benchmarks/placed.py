"""Environments whose steps take time, of a processor or asleep, and then echo.

How much work a step of `Work` is, OPENENV_BENCH_LOOPS says, which servers hand to their workers: an
amount, not a time, so that cores which slow each other down are seen.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from envs.echo_env.server.environment import EchoEnvironment

if TYPE_CHECKING:
    from envs.echo_env import EchoAction, EchoObservation

LOOPS = "OPENENV_BENCH_LOOPS"
SLEEP_S = 0.005


def work(loops: int) -> int:
    """Compute something in pure Python."""
    total = 0
    for number in range(loops):
        total += number
    return total


class Work(EchoEnvironment):
    """Computes, then echoes."""

    def __init__(self) -> None:
        self._loops = int(os.environ[LOOPS])

    def step(self, action: EchoAction) -> EchoObservation:
        """Work, and echo the message."""
        work(self._loops)
        return super().step(action)


class Sleep(EchoEnvironment):
    """Sleeps, then echoes."""

    def step(self, action: EchoAction) -> EchoObservation:
        """Sleep, and echo the message."""
        time.sleep(SLEEP_S)
        return super().step(action)
