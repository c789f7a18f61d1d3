"""SessionServices: what all sessions of a server share, given to each of them by host.py.

No session knows the registry; it knows these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.protocol.frames import Partial
    from openenv.server.config import ServerConfig
    from openenv.server.ports import Deadlines, Reply, Slots
    from openenv.server.runners.inline import Runner
    from openenv.server.watching.spectators import Spectators


class SessionServices(NamedTuple):
    """What all sessions of a server share."""

    config: ServerConfig
    slots: Slots
    deadlines: Deadlines
    make_runner: Callable[[Any], Runner]
    runs_inline: bool
    "Whether a step is over before `Runner.start` returns."
    spectators: Spectators | None
    by_token: dict[str, Any]
    "The sessions that are open, or wait for a slot."


class _Nobody:
    """The origin of a close that no client has asked for."""

    encoding: Final = "msgpack"
    is_lenient = False

    def reply(self, _: Reply | Partial) -> None:
        """Drop the reply."""

    def until_room(self) -> None:
        """There is always room."""


NOBODY: Final = _Nobody()
