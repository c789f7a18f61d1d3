"""One session as its client knows it, over a link that a test answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import pytest

from openenv.client.session import TIMEOUT_MARGIN_S, RemoteSession
from openenv.errors import (
    ConnectionLost,
    EnvironmentFault,
    NotReset,
    OpenEnvError,
    RemoteProtocolError,
    RequestTimeout,
    SessionCapacityError,
    SessionExpired,
    StepTimeout,
    to_wire,
)
from openenv.protocol.frames import (
    Close,
    Closed,
    Error,
    GetState,
    Open,
    Opened,
    Partial,
    Result,
    StateReply,
    Step,
)


class Link:
    """Answers each request with what `answer` returns, and raises what it raises."""

    encoding = "msgpack"
    is_multiplexed = True
    session_count = 0

    def __init__(self) -> None:
        self.next_id: Callable[[], int] = count(1).__next__
        self._next_number = count(1).__next__
        self.is_open = True
        self.asked: list[tuple[Any, float]] = []
        self.pushed: list[Any] = []
        self.given_up: list[Any] = []
        self.forgotten: list[int] = []
        self.answer: Callable[[Any], Any] = usual

    async def open(self) -> None:
        self.is_open = True

    async def aclose(self) -> None:
        self.is_open = False

    def next_session(self, listener: Any) -> int:
        return self._next_number()

    def forget_session(self, number: int) -> None:
        self.forgotten.append(number)

    async def request(self, frame: Any, timeout_s: float) -> Any:
        self.asked.append((frame, timeout_s))
        reply = self.answer(frame)
        if reply is None:
            await asyncio.Event().wait()
        return reply

    def give_up(self, frame: Any) -> None:
        self.given_up.append(frame)

    async def request_many(self, frames: Any, timeout_s: float) -> list[Any]:
        return [await self.request(frame, timeout_s) for frame in frames]

    async def stream(self, frame: Any, timeout_s: float) -> AsyncIterator[Any]:
        self.asked.append((frame, timeout_s))
        for reply in self.answer(frame):
            yield reply

    def push(self, frame: Any) -> None:
        self.pushed.append(frame)


def usual(frame: Any) -> Any:
    if type(frame) is Open:
        return Opened(frame.id, "token")
    if type(frame) is Close:
        return Closed(frame.id, frame.session)
    return StateReply(frame.id, b"") if type(frame) is GetState else Result(frame.id, b"")


def error(failure: OpenEnvError) -> Callable[[Any], Any]:
    return lambda frame: Error(frame.id, *to_wire(failure))


async def begun() -> tuple[Link, RemoteSession]:
    """A session that is open and has been reset."""
    link = Link()
    session = RemoteSession(link)
    await session.open()
    await session.ask(session.reset_frame(None, None, None), Result, 60)
    return link, session


def needs_reset(session: RemoteSession) -> bool:
    try:
        session.step_frame({}, None)
    except NotReset:
        return True
    return False


async def test_a_session_is_stepped_after_it_was_opened_and_reset() -> None:
    link = Link()
    session = RemoteSession(link, label="train")
    with pytest.raises(NotReset):
        session.step_frame({}, None)
    await session.open(wait_s=3)
    assert (session.is_open, session.token) == (True, "token")
    assert link.asked == [(Open(1, 1, 3, "train", None), 63)]
    assert needs_reset(session)
    await session.ask(session.reset_frame(5, "name", {}), Result, 60)
    assert session.step_frame({"a": 1}, 2.0) == Step(3, 1, {"a": 1}, 2.0)


async def test_a_session_that_was_attached_to_needs_no_reset() -> None:
    session = RemoteSession(Link())
    await session.open(token="other")
    assert not needs_reset(session)


async def test_an_opening_that_is_refused_leaves_nothing_open() -> None:
    link = Link()
    link.answer = error(SessionCapacityError(1, 1))
    session = RemoteSession(link)
    with pytest.raises(SessionCapacityError):
        await session.open()
    assert (session.is_open, link.forgotten) == (False, [1])
    # The server may have opened it all the same.
    assert [type(frame) for frame in link.pushed] == [Close]


async def test_an_opening_that_is_cancelled_is_taken_back() -> None:
    link = Link()
    link.answer = lambda _: None
    session = RemoteSession(link)
    opening = asyncio.create_task(session.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not session.is_open
    assert [type(frame) for frame in link.given_up] == [Open]
    assert [(type(frame), frame.session) for frame in link.pushed] == [(Close, 1)]


@pytest.mark.parametrize("failure", [RequestTimeout("late"), StepTimeout("late")])
async def test_after_a_timeout_a_step_needs_a_reset_first(failure: OpenEnvError) -> None:
    link, session = await begun()
    link.answer = error(failure)
    with pytest.raises(type(failure)):
        await session.ask(session.step_frame({}, None), Result, 60)
    assert needs_reset(session)
    link.answer = usual
    await session.ask(session.reset_frame(None, None, None), Result, 60)
    assert not needs_reset(session)


async def test_after_a_fault_of_the_environment_a_step_needs_none() -> None:
    link, session = await begun()
    link.answer = error(EnvironmentFault("its own"))
    with pytest.raises(EnvironmentFault):
        await session.ask(session.step_frame({}, None), Result, 60)
    assert not needs_reset(session)


async def test_after_a_late_state_a_step_needs_none() -> None:
    link, session = await begun()
    link.answer = error(RequestTimeout("late"))
    with pytest.raises(RequestTimeout):
        await session.ask(session.state_frame(), StateReply, 60)
    assert not needs_reset(session)


@pytest.mark.parametrize(("kind", "is_needed"), [("step", True), ("reset", True), ("state", False)])
async def test_what_is_cancelled_is_given_up(kind: str, is_needed: bool) -> None:
    link, session = await begun()
    link.answer = lambda _: None
    frames: dict[str, Any] = {
        "step": session.step_frame({}, None),
        "reset": session.reset_frame(None, None, None),
        "state": session.state_frame(),
    }
    asking = asyncio.create_task(session.ask(frames[kind], Result, 60))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert link.given_up == [frames[kind]]
    assert needs_reset(session) == is_needed


async def test_a_reply_of_another_kind_is_the_servers_error() -> None:
    link, session = await begun()
    link.answer = lambda frame: Opened(frame.id, "token")
    with pytest.raises(RemoteProtocolError):
        await session.ask(session.state_frame(), StateReply, 60)


async def test_a_session_that_the_server_ended_says_so_until_it_is_opened_again() -> None:
    _, session = await begun()
    session.session_closed("idle")
    for ask in (session.state_frame, lambda: session.step_frame({}, None)):
        with pytest.raises(SessionExpired, match="idle"):
            ask()
    await session.open()
    assert needs_reset(session)


async def test_closing_ends_the_session_once() -> None:
    link, session = await begun()
    await session.close()
    await session.close()
    assert [type(frame) for frame, _ in link.asked].count(Close) == 1
    assert link.forgotten == [1]


@pytest.mark.parametrize(
    ("failure", "is_lost", "raises"),
    [
        (SessionExpired("at the same moment"), False, False),
        (ConnectionLost("with its link"), True, False),
        (EnvironmentFault("in close"), False, True),
    ],
)
async def test_closing_raises_only_what_leaves_a_session_behind(
    failure: OpenEnvError, is_lost: bool, raises: bool
) -> None:
    link, session = await begun()

    def answer(frame: Any) -> Any:
        link.is_open = not is_lost
        return error(failure)(frame)

    link.answer = answer
    closing = asyncio.ensure_future(session.close())
    await asyncio.wait([closing])
    assert (type(closing.exception()) is type(failure)) == raises


async def test_a_stream_has_the_deadline_of_its_step_and_ends_with_its_result() -> None:
    link, session = await begun()
    link.answer = lambda frame: [Partial(frame.id, b""), Result(frame.id, b"")]
    kinds = [
        type(reply) async for reply in session.follow(session.step_frame({}, 2.0, stream=True))
    ]
    assert kinds == [Partial, Result]
    assert link.asked[-1][1] == 2.0 + TIMEOUT_MARGIN_S


@pytest.mark.parametrize(
    ("timeout_s", "patience_s"), [(None, 60.0), (2.0, 2.0 + TIMEOUT_MARGIN_S), (0.5, 5.5)]
)
def test_a_client_is_a_little_more_patient_than_its_server(
    timeout_s: float | None, patience_s: float
) -> None:
    assert RemoteSession(Link()).patience_for(timeout_s) == patience_s


async def test_outcomes_that_came_another_way_count_too() -> None:
    _, session = await begun()
    session.note_outcome(RequestTimeout("late"))
    assert needs_reset(session)
    session.note_outcome(Result(1, b""))
    assert not needs_reset(session)
