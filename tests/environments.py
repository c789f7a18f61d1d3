"""Small environments that tests serve."""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from openenv.environment import Environment
from openenv.models import State
from tests.patience import patient


@dataclass
class Add:
    amount: int = 1


@dataclass
class Total:
    total: int
    reward: float = 0.0
    done: bool = False


class Counter(Environment[Add, Total, State]):
    """Adds up; counts in `steps` how often step really ran, over all sessions."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"
    steps: ClassVar[int] = 0
    living: ClassVar[int] = 0

    def __init__(self) -> None:
        self.total = 0
        Counter.living += 1

    def reset(self, seed: int | None = None) -> Total:
        self.total = seed or 0
        return Total(self.total)

    def step(self, action: Add) -> Total:
        Counter.steps += 1
        self.total += action.amount
        return Total(self.total, reward=float(action.amount))

    def close(self) -> None:
        Counter.living -= 1


class ThreadCounter(Counter):
    """The same on a thread of its own, which it remembers."""

    execution = "thread"

    def __init__(self) -> None:
        super().__init__()
        self.threads = {threading.get_ident()}

    def step(self, action: Add) -> Total:
        self.threads.add(threading.get_ident())
        assert len(self.threads) == 1
        return super().step(action)


class AsyncCounter(Counter):
    """The same with async methods."""

    async def reset(self, seed: int | None = None) -> Total:
        await asyncio.sleep(0)
        return super().reset(seed)

    async def step(self, action: Add) -> Total:
        await asyncio.sleep(0)
        return super().step(action)


class Sleeper(Environment[dict[str, Any], dict[str, Any], State]):
    """Blocks its thread for as long as the action says."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    release: ClassVar[threading.Event]

    def reset(self) -> dict[str, Any]:
        return {"ready": True}

    def step(self, action: dict[str, Any]) -> dict[str, Any]:
        if action.get("hang"):
            Sleeper.release.wait(patient(20))
        time.sleep(action.get("sleep_s", 0.0))
        return {"slept": True}
