"""Columns: the frames `steps` and `results`, each of which stands for many single frames.

Reading one costs a tenth of reading the single frames. `single_steps` and `single_results` split
them, for code that handles single frames only; `halves` divides one that is too large to send.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec

from openenv.errors import RemoteProtocolError
from openenv.protocol.frames import Error, Malformed, Result, Results, Step, Steps
from openenv.protocol.wire import UNREADABLE, WIRES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.protocol.wire import Wire

STEPS = "steps"
"The capability of a server that takes frames of many steps."


MAX_ROWS = 256
"The most rows of a frame: more are not faster, and one slow step would delay more replies."

_DECODERS = {name: wire.make_decoder(list[msgspec.Raw]) for name, wire in WIRES.items()}


def request_id(frame: object) -> int:
    """Return the id for an error about a frame: its own; the first of its rows; or 0."""
    ids = getattr(frame, "ids", None)
    return ids[0] if ids else getattr(frame, "id", 0)


def step_frames(
    ids: list[int],
    sessions: list[int],
    actions: list[Any],
    timeout_s: float | None,
    capabilities: Sequence[str],
) -> list[Steps] | list[Step]:
    """Return the frames for many steps: in columns if the server has the capability."""
    if STEPS not in capabilities:
        return list(map(Step, ids, sessions, actions, repeat(timeout_s)))
    parts = [slice(start, start + MAX_ROWS) for start in range(0, len(ids), MAX_ROWS)]
    return [Steps(ids[part], sessions[part], actions[part], timeout_s) for part in parts]


def single_steps(frame: Steps, wire: Wire) -> list[Step | Malformed]:
    """Split a received frame into its steps."""
    actions = _payloads(frame.actions, wire)
    if not len(frame.ids) == len(frame.sessions) == len(actions):
        reason = (
            f"steps: {len(frame.ids)} ids, {len(frame.sessions)} sessions, {len(actions)} actions"
        )
        return [Malformed(request_id, reason) for request_id in frame.ids]
    return list(map(Step, frame.ids, frame.sessions, actions, repeat(frame.timeout_s)))


def single_results(frame: Results, wire: Wire) -> list[Result | Error]:
    """Split a received frame into its results."""
    payloads = _payloads(frame.observations, wire)
    if not has_equal_columns(frame, len(payloads)):
        reason = "the reply cannot be read: its columns are not of one length"
        return [Error(request_id, RemoteProtocolError.code, reason) for request_id in frame.ids]
    metadata = repeat(None) if frame.metadata is None else frame.metadata
    columns = (frame.ids, payloads, frame.rewards, frame.done, frame.truncated, metadata)
    return list(map(Result, *columns))


def has_equal_columns(frame: Results, count: int) -> bool:
    """Whether a results frame has this many rows in each of its columns."""
    columns = (frame.ids, frame.rewards, frame.done, frame.truncated, frame.metadata)
    return all(column is None or len(column) == count for column in columns)


def halves(frame: Any) -> tuple[Any, Any] | None:
    """Divide a frame that is to be sent; None if it has fewer than two rows."""
    if type(frame) not in (Steps, Results) or len(frame.ids) < 2:
        return None
    middle = len(frame.ids) // 2
    parts = (slice(middle), slice(middle, None))
    first, second = (
        type(frame)(*[_part(frame, name, part) for name in frame.__struct_fields__])
        for part in parts
    )
    return first, second


def _part(frame: Steps | Results, name: str, part: slice) -> object:
    value = getattr(frame, name)
    return value[part] if isinstance(value, list) else value


def _payloads(raw: msgspec.Raw, wire: Wire) -> list[Any]:
    try:
        return _DECODERS[wire.subprotocol].decode(raw)  # type: ignore[no-any-return]
    except UNREADABLE:
        return []
