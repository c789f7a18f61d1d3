"""What a spectator keeps between two events: the newest of each session."""

import asyncio
from typing import Any

import pytest

from openenv.client.watch import Summary, _Newest, watch
from openenv.errors import ConfigurationError, ConnectionLost, to_wire
from openenv.protocol.frames import Error, Event


def summary(session: str, step: int) -> Summary:
    return Summary(session=session, environment="Counter", step=step)


def newest(*replies: Any) -> _Newest:
    kept = _Newest(1)
    for reply in replies:
        kept.on_reply(reply)
    return kept


async def test_of_each_session_the_newest_summary_is_shown_once() -> None:
    kept = newest(Event(1, [summary("a", 1), summary("b", 1)]), Event(1, [summary("a", 2)]))
    event = await kept.event("msgpack")
    assert [(shown.session, shown.step) for shown in event.sessions] == [("a", 2), ("b", 1)]
    following = asyncio.ensure_future(kept.event("msgpack"))
    await asyncio.sleep(0)
    assert not following.done()
    kept.on_reply(Event(1, [summary("b", 2)]))
    assert [shown.step for shown in (await following).sessions] == [2]


async def test_a_session_that_has_ended_is_not_shown_any_more() -> None:
    event = await newest(Event(1, [summary("a", 1)]), Event(1, [], ["a"])).event("msgpack")
    assert (event.sessions, event.ended) == ([], ["a"])


async def test_the_error_that_ends_the_events_is_raised() -> None:
    kept = newest(Error(1, *to_wire(ConnectionLost("gone"))))
    with pytest.raises(ConnectionLost):
        await kept.event("msgpack")


@pytest.mark.parametrize("frames_per_s", [0, -1.0, float("nan")])
async def test_a_rate_that_is_none_is_refused(frames_per_s: float) -> None:
    with pytest.raises(ConfigurationError):
        await anext(watch("http://127.0.0.1:9", frames_per_s=frames_per_s))
