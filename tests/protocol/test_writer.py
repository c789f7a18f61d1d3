"""Writer: every state and event, who may write, and what comes next; without an event loop."""

from typing import Any

import pytest

from openenv.errors import LocalProtocolError
from openenv.protocol.frames import ClientHello, StateReply
from openenv.protocol.legacy import LegacyServerProtocol
from openenv.protocol.server import ServerProtocol
from openenv.protocol.wire import MSGPACK
from openenv.protocol.writer import FRAMES_AHEAD, TRANSITIONS, Writer, WriterState

S = WriterState
EVENTS = ("attach", "greeted", "call_task", "begin", "written", "finish", "detach", "end")
QUESTIONS = ("call_task", "begin")

# One line for each state, one column for each event; None is a refusal.
#              attach      greeted    call_task  begin       written    finish      detach      end
TABLE: dict[WriterState, tuple[WriterState | None, ...]] = {
    S.DETACHED: (S.GREETING, None, None, None, None, None, S.DETACHED, S.ENDED),
    S.GREETING: (S.GREETING, S.DIRECT, None, None, None, None, S.DETACHED, S.CLOSING),
    S.DIRECT: (S.GREETING, None, S.TASK, S.WRITING, None, S.CLOSING, S.DETACHED, S.CLOSING),
    S.TASK: (S.GREETING, None, S.TASK, S.WRITING, None, S.CLOSING, S.DETACHED, S.CLOSING),
    S.WRITING: (S.GREETING, None, None, None, S.DIRECT, S.DRAINING, S.DETACHED, S.DRAINING),
    S.CLOSING: (None, S.CLOSING, S.CLOSING, S.DRAINING, None, S.CLOSING, S.ENDED, S.CLOSING),
    S.DRAINING: (None, None, None, None, S.CLOSING, S.DRAINING, S.ENDED, S.DRAINING),
    S.ENDED: (None, None, None, None, None, None, S.ENDED, S.ENDED),
}
CELLS = [
    (state, event, after)
    for state, row in TABLE.items()
    for event, after in zip(EVENTS, row, strict=True)
]

ROADS: dict[WriterState, tuple[str, ...]] = {
    S.DETACHED: (),
    S.GREETING: ("attach",),
    S.DIRECT: ("attach", "greeted"),
    S.TASK: ("attach", "greeted", "call_task"),
    S.WRITING: ("attach", "greeted", "begin"),
    S.CLOSING: ("attach", "greeted", "finish"),
    S.DRAINING: ("attach", "greeted", "begin", "finish"),
    S.ENDED: ("end",),
}
"The events that lead from a new writer to each state."


class Encoder:
    """A fake of a protocol: one message for so many frames; a frame that is None has no form."""

    def __init__(self, at_once: int = 2) -> None:
        self.at_once = at_once
        self.owes = True

    def send_first(self, frames: list[Any]) -> list[Any]:
        first = frames[: self.at_once]
        del frames[: self.at_once]
        sent = [frame for frame in first if frame is not None]
        return [b"".join(sent)] if sent else []

    def acknowledgement(self) -> bytes | None:
        return b"ack" if self.owes else None


def tell(writer: Writer, event: str, *, is_direct: bool = True) -> Any:
    if event == "attach":
        return writer.attach(is_direct=is_direct)
    if event == "finish":
        return writer.finish(lingers=False)
    return getattr(writer, event)()


def writer_in(state: WriterState, *frames: Any, is_direct: bool = True) -> Writer:
    """Return a writer that has come to this state by events."""
    writer = Writer(Encoder())
    for event in ROADS[state]:
        tell(writer, event, is_direct=is_direct)
    assert writer.state is state
    writer.frames += frames
    return writer


def bounded(buffer_bytes: int = 1000) -> tuple[Writer, ServerProtocol]:
    protocol = ServerProtocol(MSGPACK, "token", buffer_bytes=buffer_bytes)
    return Writer(protocol, bounded=protocol), protocol


def replies(count: int, size: int = 300) -> list[Any]:
    return [StateReply(number, b"x" * size) for number in range(1, count + 1)]


# ---------------------------------------------------------------- states


@pytest.mark.parametrize(("state", "event", "after"), CELLS)
def test_each_event_in_each_state_does_what_the_table_says(
    state: WriterState, event: str, after: WriterState | None
) -> None:
    writer = writer_in(state)
    if after is None and event not in QUESTIONS:
        with pytest.raises(LocalProtocolError):
            tell(writer, event)
    else:
        answer = tell(writer, event)
        assert answer is ((after is not None) if event in QUESTIONS else None)
    assert writer.state is (after or state)


def test_the_tables_of_code_and_test_have_the_same_cells() -> None:
    assert {(state, event): after for state, event, after in CELLS if after} == TRANSITIONS


@pytest.mark.parametrize("road", [("attach", "greeted"), ("attach", "greeted", "begin", "written")])
def test_a_channel_that_may_block_is_written_to_by_a_task_only(road: tuple[str, ...]) -> None:
    writer = Writer(Encoder())
    for event in road:
        tell(writer, event, is_direct=False)
    assert writer.state is S.TASK


def test_only_a_writing_task_is_at_work() -> None:
    assert [state for state in S if writer_in(state).is_writing] == [S.WRITING, S.DRAINING]


# ---------------------------------------------------------------- flushes


@pytest.mark.parametrize("state", S)
def test_frames_are_scheduled_once_while_there_is_a_socket(state: WriterState) -> None:
    writer = writer_in(state)
    is_attached = state not in (S.DETACHED, S.ENDED)
    assert writer.schedule() is is_attached
    assert writer.flush_pending is is_attached


@pytest.mark.parametrize("event", ["call_task", "begin"])
def test_nobody_schedules_a_flush_for_which_a_task_is_called_or_at_work(event: str) -> None:
    writer = writer_in(S.DIRECT)
    tell(writer, event)
    assert writer.flush_pending


def test_a_flush_that_is_refused_is_not_pending() -> None:
    writer = writer_in(S.GREETING)
    assert not writer.call_task()
    assert not writer.begin()
    assert not writer.flush_pending


@pytest.mark.parametrize("event", ["written", "attach", "detach"])
def test_no_flush_is_pending_after_the_one_that_was_under_way(event: str) -> None:
    writer = writer_in(S.WRITING)
    writer.ack_due = True
    tell(writer, event)
    assert not writer.flush_pending
    # An acknowledgement belongs to the socket: the hello of the next one has its own.
    assert writer.ack_due is (event == "written")


def test_a_socket_lingers_until_the_link_ends() -> None:
    writer = writer_in(S.DIRECT)
    writer.finish(lingers=True)
    assert writer.lingers
    writer.end()
    assert not writer.lingers


# ---------------------------------------------------------------- messages


def test_messages_come_one_by_one_in_the_order_of_the_frames() -> None:
    writer = writer_in(S.DIRECT, b"a", b"b", b"c")
    assert [writer.next_messages() for _ in range(3)] == [[b"ab"], [b"c"], []]
    assert not writer.frames


def test_frames_that_have_no_form_do_not_hold_up_the_others() -> None:
    writer = writer_in(S.DIRECT, None, None, None, b"d", None)
    assert [writer.next_messages() for _ in range(2)] == [[b"d"], []]


@pytest.mark.parametrize("owes", [True, False])
def test_an_acknowledgement_is_sent_once_and_only_if_it_is_owed(owes: bool) -> None:
    writer = writer_in(S.DIRECT)
    writer.protocol.owes = owes  # type: ignore[union-attr]
    writer.ack_due = True
    assert [writer.next_messages() for _ in range(2)] == [[b"ack"] if owes else [], []]


def test_a_message_makes_an_acknowledgement_needless_but_refused_frames_do_not() -> None:
    writer = writer_in(S.DIRECT, b"a")
    writer.ack_due = True
    assert [writer.next_messages() for _ in range(2)] == [[b"a"], []]
    writer.frames.append(None)
    writer.ack_due = True
    assert writer.next_messages() == [b"ack"]


@pytest.mark.parametrize("state", S)
def test_frames_of_an_ended_link_are_dropped(state: WriterState) -> None:
    writer = writer_in(state, b"a")
    writer.end()
    writer.frames.append(b"b")
    assert not writer.frames
    assert writer.next_messages() == []
    assert writer.has_room


@pytest.mark.parametrize("state", S)
def test_frames_are_unsent_while_they_wait_for_a_socket_or_are_written(state: WriterState) -> None:
    assert writer_in(state).has_unsent is (state in (S.WRITING, S.DRAINING))
    assert writer_in(state, b"a").has_unsent is (state not in (S.DETACHED, S.ENDED))


# ---------------------------------------------------------------- bounds


def test_without_a_bound_frames_wait_without_a_number_for_the_next_socket() -> None:
    writer = writer_in(S.DETACHED, *[b"a"] * FRAMES_AHEAD)
    assert not writer.schedule()
    assert len(writer.frames) == FRAMES_AHEAD
    assert not writer.is_overflowing
    assert not writer.has_room
    writer.frames.pop()
    assert writer.has_room


def test_the_legacy_dialect_acknowledges_nothing() -> None:
    writer = Writer(LegacyServerProtocol())
    tell(writer, "attach")
    writer.greeted()
    writer.ack_due = True
    assert writer.next_messages() == []


def test_a_link_that_keeps_as_much_as_it_may_is_given_no_more_until_it_is_acknowledged() -> None:
    writer, protocol = bounded()
    protocol.attach(ClientHello())
    protocol.mean_frame_bytes = 1e9  # one frame in each message
    writer.attach(is_direct=True)
    writer.greeted()
    writer.frames += replies(10)
    sent = 0
    while writer.next_messages():
        sent += 1
        protocol.mean_frame_bytes = 1e9
    assert protocol.link.is_full
    assert len(writer.frames) == 10 - sent > 0
    protocol.link.take_acknowledgement(1)
    assert len(writer.next_messages()) == 1


def test_without_a_socket_frames_are_kept_up_to_the_bound_and_as_many_again_may_wait() -> None:
    writer, protocol = bounded()
    protocol.mean_frame_bytes = 300.0
    writer.frames += replies(3)
    assert not writer.schedule()
    assert not writer.flush_pending
    assert protocol.link.sent == 1
    assert not writer.frames
    writer.frames += replies(4)
    writer.schedule()
    assert protocol.link.is_full
    writer.frames += replies(2)
    writer.schedule()
    assert len(writer.frames) == 2
    assert not writer.is_overflowing
    writer.frames += replies(2)
    assert writer.is_overflowing


def test_frames_that_wait_for_a_link_with_room_are_no_overflow() -> None:
    writer, protocol = bounded()
    protocol.mean_frame_bytes = 1e9
    writer.frames += replies(2)
    assert not writer.is_overflowing


def test_without_a_socket_partial_observations_may_fill_half_of_the_bound() -> None:
    writer, protocol = bounded()
    protocol.link.keep(b"", 500)
    assert writer.has_room
    protocol.link.keep(b"", 1)
    assert not writer.has_room
