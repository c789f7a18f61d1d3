"""OpenSessions: which sessions a link has open, by the numbers that its client has given them.

Also remembers for a while why the server has ended some: the client may have sent requests before
it learned of that. Knows nothing of frames; link.py asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openenv.errors import RemoteProtocolError, SessionExpired, SessionNotFoundError

if TYPE_CHECKING:
    from openenv.server.sessions.session import Session

MAX_REMEMBERED = 1024
"How many ended sessions of one link are remembered, the newest."


class OpenSessions:
    """The sessions of one link."""

    def __init__(self) -> None:
        self.by_number: dict[int, Session] = {}
        self._numbers: dict[Session, int] = {}
        self._ended: dict[int, str] = {}

    def check_unused(self, number: int) -> None:
        """Raise RemoteProtocolError if the number is taken."""
        if number in self.by_number:
            raise RemoteProtocolError(f"session {number} is open already")

    def add(self, number: int, session: Session) -> None:
        """Add a session under this number."""
        self.by_number[number] = session
        self._numbers[session] = number

    def remove(self, session: Session) -> int | None:
        """Forget a session; return its number, None if it is not open."""
        number = self._numbers.pop(session, None)
        if number is not None:
            del self.by_number[number]
        return number

    def remember_end(self, number: int, reason: str) -> None:
        """Remember why the server has ended a session."""
        self._ended[number] = reason
        if len(self._ended) > MAX_REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def find(self, number: int) -> Session:
        """Return a session. Raises SessionExpired, SessionNotFoundError."""
        session = self.by_number.get(number)
        if session is None:
            if number in self._ended:
                raise SessionExpired(self._ended[number])
            raise SessionNotFoundError(number)
        return session

    def pop_all(self) -> list[Session]:
        """Remove all sessions; return them."""
        sessions = list(self._numbers)
        self.by_number.clear()
        self._numbers.clear()
        return sessions
