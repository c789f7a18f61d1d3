"""Columns: frames that stand for many, taken apart and halved."""

from typing import Any

import pytest

from openenv.protocol import frames as f
from openenv.protocol.columns import (
    MAX_ROWS,
    STEPS,
    halves,
    has_equal_columns,
    request_id,
    single_results,
    single_steps,
    step_frames,
)
from openenv.protocol.wire import Wire
from tests.protocol.links import BOTH, Unencodable, begun, plain, receive_all, wire_name

both_wires = pytest.mark.parametrize("wire", BOTH, ids=wire_name)


def sent_to_server(wire: Wire, frame: Any) -> Any:
    client, server = begun(wire)
    (received,) = receive_all(server, client.send([frame]))
    return received


def sent_to_client(wire: Wire, frame: Any) -> Any:
    client, server = begun(wire)
    (received,) = receive_all(client, server.send([frame]))
    return received


# ---------------------------------------------------------------- steps


def test_a_server_that_takes_columns_gets_as_few_frames_as_it_takes() -> None:
    count = 2 * MAX_ROWS + 1
    ids, sessions, actions = list(range(1, count + 1)), [1] * count, list(range(count))
    frames = step_frames(ids, sessions, actions, 2.5, [STEPS])
    assert [len(frame.ids) for frame in frames] == [MAX_ROWS, MAX_ROWS, 1]
    assert [request for frame in frames for request in frame.ids] == ids
    assert [action for frame in frames for action in frame.actions] == actions
    assert {frame.timeout_s for frame in frames} == {2.5}


def test_another_server_gets_a_frame_for_each_step() -> None:
    frames = step_frames([7, 8], [1, 2], [{"a": 1}, {"a": 2}], None, [])
    assert frames == [f.Step(7, 1, {"a": 1}), f.Step(8, 2, {"a": 2})]


@both_wires
def test_received_steps_can_be_taken_apart(wire: Wire) -> None:
    frame = sent_to_server(wire, f.Steps([7, 8], [1, 2], [{"a": 1}, [2]], 2.5))
    singles = [plain(step, wire) for step in single_steps(frame, wire)]
    assert singles == [f.Step(7, 1, {"a": 1}, 2.5), f.Step(8, 2, [2], 2.5)]


@both_wires
@pytest.mark.parametrize(
    ("sessions", "actions"),
    [([1], [{}, {}]), ([1, 2], [{}]), ([1, 2], {}), ([1, 2], None), ([1, 2], "ab")],
)
def test_steps_whose_columns_do_not_match_are_malformed_one_by_one(
    wire: Wire, sessions: list[int], actions: Any
) -> None:
    frame = sent_to_server(wire, f.Steps([7, 8], sessions, actions))
    singles = single_steps(frame, wire)
    assert [(type(one), one.id) for one in singles] == [(f.Malformed, 7), (f.Malformed, 8)]
    assert f"2 ids, {len(sessions)} sessions" in singles[0].message  # type: ignore[union-attr]


# ---------------------------------------------------------------- results


@both_wires
def test_received_results_can_be_taken_apart(wire: Wire) -> None:
    columns = ([{"n": 1}, [2]], [0.5, None], [False, True], [True, False])
    frame = sent_to_client(wire, f.Results([7, 8], *columns))
    assert [plain(one, wire) for one in single_results(frame, wire)] == [
        f.Result(7, {"n": 1}, 0.5, False, True),
        f.Result(8, [2], None, True, False),
    ]
    frame = sent_to_client(wire, f.Results([7, 8], *columns, [{"lives": 3}, None]))
    assert [one.metadata for one in single_results(frame, wire)] == [{"lives": 3}, None]  # type: ignore[union-attr]


@both_wires
@pytest.mark.parametrize("short", ["observations", "rewards", "done", "truncated", "metadata"])
def test_results_whose_columns_do_not_match_are_errors_one_by_one(wire: Wire, short: str) -> None:
    columns: dict[str, Any] = {
        "observations": [{}, {}],
        "rewards": [1.0, 2.0],
        "done": [False, False],
        "truncated": [False, False],
        "metadata": [None, {"lives": 3}],
    }
    whole = sent_to_client(wire, f.Results([7, 8], **columns))
    assert has_equal_columns(whole, 2)
    frame = sent_to_client(wire, f.Results([7, 8], **columns | {short: columns[short][:1]}))
    singles = single_results(frame, wire)
    assert [(type(one), one.id) for one in singles] == [(f.Error, 7), (f.Error, 8)]
    assert {one.code for one in singles} == {"PROTOCOL_ERROR"}  # type: ignore[union-attr]


# ---------------------------------------------------------------- halves


def test_halves_hold_all_rows_in_order() -> None:
    results = f.Results([1, 2, 3], ["a", "b", "c"], [1, 2, 3], [True] * 3, [False] * 3)
    first, second = halves(results) or (None, None)
    assert first == f.Results([1], ["a"], [1], [True], [False])
    assert second == f.Results([2, 3], ["b", "c"], [2, 3], [True] * 2, [False] * 2)
    steps = f.Steps([1, 2], [5, 6], ["a", "b"], 2.5)
    assert halves(steps) == (f.Steps([1], [5], ["a"], 2.5), f.Steps([2], [6], ["b"], 2.5))


def test_what_stands_for_one_has_no_halves() -> None:
    assert halves(f.Steps([1], [5], ["a"])) is None
    assert halves(f.Close(1, 1)) is None


@both_wires
def test_rows_that_are_too_large_together_travel_in_several_messages(wire: Wire) -> None:
    client, server = begun(wire)
    actions = [str(number) * 20_000 for number in range(8)]
    messages = client.send([f.Steps(list(range(1, 9)), [1] * 8, actions)])
    assert len(messages) > 1
    steps = [one for frame in receive_all(server, messages) for one in single_steps(frame, wire)]
    assert [plain(step, wire) for step in steps] == [
        f.Step(number, 1, action) for number, action in enumerate(actions, 1)
    ]


@both_wires
def test_one_row_that_cannot_be_sent_is_refused_alone(wire: Wire) -> None:
    client, server = begun(wire)
    messages = client.send([f.Steps([1, 2, 3], [1, 2, 3], ["a", Unencodable(), "c"])])
    (refusal,) = client.take_local_replies()
    assert (refusal.id, refusal.code) == (2, "PAYLOAD_ERROR")
    steps = [one for frame in receive_all(server, messages) for one in single_steps(frame, wire)]
    assert [step.id for step in steps] == [1, 3]
    columns = (["a", Unencodable(), "c"], [1, 2, 3], [False] * 3, [False] * 3)
    replies = receive_all(client, server.send([f.Results([1, 2, 3], *columns)]))
    assert [request_id(reply) for reply in replies] == [1, 2, 3]
    assert [type(reply) for reply in replies] == [f.Results, f.Error, f.Results]


def test_a_refusal_is_about_the_frames_own_id() -> None:
    assert request_id(f.Close(5, 1)) == 5
    assert request_id(f.Steps([7], [1], [{}])) == 7
    assert request_id(f.ClientHello()) == 0
