"""Rubrics that give what they are told, at once or after a while."""

import asyncio
from typing import Any

from openenv.rubrics import Rubric


class Fixed(Rubric):
    STATE = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value
        self.asked = 0

    def forward(self, action: Any, observation: Any) -> float:
        self.asked += 1
        return self.value


class Later(Fixed):
    """Async, and done only when `release` is set."""

    def __init__(self, value: float) -> None:
        super().__init__(value)
        self.release = asyncio.Event()
        self.release.set()

    async def forward(self, action: Any, observation: Any) -> float:  # type: ignore[override]
        self.asked += 1
        await self.release.wait()
        return self.value


class Given(Rubric):
    """Gives the action."""

    def forward(self, action: Any, observation: Any) -> float:
        return float(action)
