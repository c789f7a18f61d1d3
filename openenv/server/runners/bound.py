"""BoundEnvironment: one environment, its methods looked up once.

Every way into an environment ends here: sessions on the event loop, on threads and in worker
processes, many steps in one frame, and the helpers for tests. Which methods these are,
convention.py has found out; threads and order are the affair of the runners and the session.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from openenv.environment import RunningEpisode

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.server.runners.convention import CallingConvention


class BoundEnvironment:
    """`step(action)` and `reset(**arguments)` are the environment's own methods."""

    __slots__ = ("_close", "_knows_episode", "environment", "episode", "reset", "step")

    def __init__(
        self, environment: Any, convention: CallingConvention, *, keeps_open: bool = False
    ) -> None:
        """`keeps_open` is for a shared instance, which is closed with its server."""
        self.environment = environment
        self.step: Callable[..., Any] = getattr(environment, convention.step.name)
        self.reset: Callable[..., Any] = getattr(environment, convention.reset.name)
        self.episode = RunningEpisode()
        self._close = None if keeps_open else getattr(environment, "close", None)
        self._knows_episode = convention.knows_episode

    def begin_episode(self, episode_id: str | None) -> None:
        """Name the episode that the next `reset` begins; None gives it a name of its own."""
        self.episode = RunningEpisode(episode_id or new_episode_id())
        if self._knows_episode:
            self.environment._episode = self.episode

    def read_state(self) -> object:
        """Return the state, whether it is a property or a method; it may have to be awaited."""
        state = self.environment.state
        return state() if callable(state) else state

    def close(self) -> Any:
        """Close the environment, if it can be closed."""
        return self._close() if callable(self._close) else None


def new_episode_id() -> str:
    """Return an id for an episode that its client has given none."""
    return secrets.token_hex(16)
