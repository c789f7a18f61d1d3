"""Runner: executes the requests of one session on the event loop, at once.

The base of the runners that do it elsewhere. Knows nothing of queues and order: the session starts
one request at a time, and is told when it is complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openenv.protocol.frames import Open, Opened, Partial
from openenv.server.runners.executor import RequestExecutor

if TYPE_CHECKING:
    from openenv.protocol.frames import Request
    from openenv.server.ports import Origin, RunningSession
    from openenv.server.runners.spec import EnvironmentSpec


class Runner(RequestExecutor):
    """Made with its session; `start` runs a request, `release` ends the runner."""

    __slots__ = ("session",)

    def __init__(self, spec: EnvironmentSpec, session: RunningSession) -> None:
        super().__init__(spec)
        self.session = session

    @property
    def can_abandon(self) -> bool:
        """Whether a running call can be left behind, with its environment."""
        return False

    @property
    def has_environment(self) -> bool:
        """Whether there is an environment."""
        return self.bound is not None

    def start(self, frame: Request, origin: Origin) -> None:
        """Run a request; the session's `complete` gets the reply, here before this returns."""
        self.session.complete(self, frame, origin, self.perform(frame, origin))

    def interrupt(self) -> bool:
        """Ask the running call to end early; False if that is impossible.

        The request completes in either case.
        """
        return False

    def abandon(self) -> None:
        """Leave the running call behind; its environment is closed should the call ever end."""

    def release(self) -> None:
        """Free what the runner holds, once its environment is closed."""
        self.bound = None

    def emit(self, origin: Origin, frame: Partial) -> None:
        """Send an intermediate observation."""
        self.session.emit(origin, frame)

    def _opened(self, frame: Open) -> Opened:
        return Opened(frame.id, self.session.token)
