"""SessionSlots: how many sessions may have an environment at once, and which session is next.

Knows nothing of sessions but that they wait, and can be granted a slot.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from openenv.errors import ConcurrencyConfigurationError, OpenEnvError, SessionCapacityError
from openenv.server.config import DEFAULT_SESSIONS, ServerConfig

if TYPE_CHECKING:
    from openenv.server.ports import Deadlines, SlotHolder
    from openenv.server.runners.convention import CallingConvention

RETRY_AFTER_S = 1.0


class SessionSlots:
    """Slots are granted in the order in which sessions have asked."""

    def __init__(self, limit: int, deadlines: Deadlines) -> None:
        self.limit = limit
        self.taken = 0
        self._deadlines = deadlines
        self._waiting: deque[SlotHolder] = deque()

    def reserve(self, session: SlotHolder) -> bool:
        """Give a session a slot, if one is free and no other session waits for it."""
        if self.taken >= self.limit or self._waiting:
            return False
        self.taken += 1
        session.has_slot = True
        return True

    def wait(self, session: SlotHolder, wait_s: float) -> None:
        """Queue for a slot; the session's `grant_slot` is called, or its deadline passes."""
        self._waiting.append(session)
        self._deadlines.set(session, wait_s)

    def release(self, session: SlotHolder) -> None:
        """Take back the slot, or the place in the queue, of a session that has ended."""
        if session.has_slot:
            session.has_slot = False
            self.taken -= 1
        elif session in self._waiting:
            self._waiting.remove(session)
        while self._waiting and self.taken < self.limit:
            waiting = self._waiting.popleft()
            self._deadlines.clear(waiting)
            self.taken += 1
            waiting.has_slot = True
            waiting.grant_slot()

    def capacity_error(self) -> OpenEnvError:
        """Return what a client is told that gets no slot."""
        return SessionCapacityError(self.taken, self.limit, RETRY_AFTER_S)


def session_limit(
    name: str, convention: CallingConvention, config: ServerConfig, workers: int | None
) -> int:
    """Return how many slots a server has; `workers` is the number of its processes, if it has any.

    Raises ConcurrencyConfigurationError for more than its environment class allows.
    """
    asked = config.max_concurrent_envs
    if workers is not None and not convention.is_concurrent:
        # One at once in each process is what such a class asks for.
        if asked is not None and asked > workers:
            raise ConcurrencyConfigurationError(name, asked)
        return asked or workers
    if asked is None:
        return DEFAULT_SESSIONS[convention.execution] if convention.is_concurrent else 1
    if asked > 1 and not convention.is_concurrent:
        raise ConcurrencyConfigurationError(name, asked)
    return asked
