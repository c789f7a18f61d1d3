"""Which sessions a link has open, and what it remembers of those that the server has ended."""

from typing import Any

import pytest

from openenv.errors import RemoteProtocolError, SessionExpired, SessionNotFoundError
from openenv.server.links.open_sessions import MAX_REMEMBERED, OpenSessions


class Session:
    """Stands for a session, of which nothing is asked here."""


def opened(*numbers: int) -> tuple[OpenSessions, dict[int, Any]]:
    sessions, by_number = OpenSessions(), {number: Session() for number in numbers}
    for number, session in by_number.items():
        sessions.add(number, session)  # type: ignore[arg-type]
    return sessions, by_number


def test_a_session_is_found_by_its_number_until_it_is_removed() -> None:
    sessions, by_number = opened(1, 2)
    assert sessions.find(2) is by_number[2]
    assert sessions.remove(by_number[2]) == 2
    assert sessions.remove(by_number[2]) is None
    with pytest.raises(SessionNotFoundError):
        sessions.find(2)
    assert sessions.find(1) is by_number[1]


def test_a_number_in_use_is_refused_and_one_that_was_in_use_is_not() -> None:
    sessions, by_number = opened(1)
    with pytest.raises(RemoteProtocolError):
        sessions.check_unused(1)
    sessions.remove(by_number[1])
    sessions.check_unused(1)


def test_a_session_that_the_server_has_ended_says_why() -> None:
    sessions, _ = opened()
    sessions.remember_end(3, "idle for too long")
    with pytest.raises(SessionExpired, match="idle for too long"):
        sessions.find(3)


def test_the_newest_ends_are_remembered_and_no_more_than_the_bound() -> None:
    sessions, _ = opened()
    for number in range(1, MAX_REMEMBERED + 2):
        sessions.remember_end(number, "idle")
    with pytest.raises(SessionNotFoundError):
        sessions.find(1)
    with pytest.raises(SessionExpired):
        sessions.find(2)


def test_all_sessions_are_popped_once() -> None:
    sessions, by_number = opened(1, 2, 3)
    assert sessions.pop_all() == list(by_number.values())
    assert sessions.pop_all() == []
    assert not sessions.by_number
