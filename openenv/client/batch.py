"""Batch: steps of many sessions to frames, and their replies to results: both column by column.

Who asks whom is pool.py's affair; what waits for replies is in requests.py. What cannot be read at
once (hooks, errors, replies that came singly) goes the way of a single step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.lifting import Columns
from openenv.models import StepResult
from openenv.protocol.columns import single_results, step_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.client.env import EnvClient
    from openenv.client.link.link import Connection
    from openenv.client.link.requests import BatchSink, ReplySink, Requests
    from openenv.errors import OpenEnvError
    from openenv.protocol.frames import Results
    from openenv.protocol.wire import Wire

    AnyClient = EnvClient[Any, Any, Any]
    Outcome = StepResult[Any] | OpenEnvError


def payloads_of(envs: Sequence[AnyClient], actions: Sequence[Any]) -> Sequence[Any]:
    """Return what each client sends for its action."""
    client_classes: set[type[AnyClient]] = set(map(type, envs))
    if any(cls._encodes_by_hook for cls in client_classes) or any(
        hasattr(cls, "model_dump") for cls in set(map(type, actions))
    ):
        return [env._payload(action) for env, action in zip(envs, actions, strict=True)]
    return actions


def send_steps(
    connection: Connection,
    sessions: list[int],
    payloads: list[Any],
    timeout_s: float | None,
    patience_s: float,
    taker: ReplySink,
) -> Requests:
    """Step many sessions of a connection, each with its payload.

    The taker gets each reply when it comes, errors included. Raises what happened to the
    connection.
    """
    next_id = connection.next_id
    taker.ids = ids = [next_id() for _ in sessions]
    frames = step_frames(ids, sessions, payloads, timeout_s, connection.capabilities)
    return connection.send_many(sessions, frames, patience_s, taker)


def read_batch(batch: BatchSink, envs: Sequence[AnyClient], wire: Wire) -> list[Outcome]:
    """Return what came of a step of each of these, in their order; errors as values."""
    if not batch.replies and batch.columns[0].ids == batch.ids:
        return read_columns(envs, batch.columns[0], wire)
    outcomes: list[Any] = [None] * len(envs)
    first = batch.ids[0]
    for request_id, reply in batch.replies.items():
        outcomes[request_id - first] = envs[request_id - first]._outcome(reply)
    for columns in batch.columns:
        positions = [request_id - first for request_id in columns.ids]
        results = read_columns([envs[position] for position in positions], columns, wire)
        for position, result in zip(positions, results, strict=True):
            outcomes[position] = result
    return outcomes


def read_columns(clients: Sequence[AnyClient], frame: Results, wire: Wire) -> list[Outcome]:
    """Return the results of a frame, one for each client; errors as values."""
    classes: set[type[AnyClient]] = set(map(type, clients))
    cls = classes.pop()
    if not classes and not cls._parses_by_hook:
        lifted = Columns([], frame.rewards, frame.done, frame.truncated, frame.metadata)
        observations = cls._observation_codec.restore_column(
            frame.observations, wire.encoding, lifted
        )
        if observations is not None:
            return _results(observations, frame)
    singles = single_results(frame, wire)
    return [client._outcome(reply) for client, reply in zip(clients, singles, strict=True)]


def _results(observations: list[Any], frame: Results) -> list[Outcome]:
    columns = (observations, frame.rewards, frame.done, frame.truncated)
    if frame.metadata is None:
        return list(map(StepResult, *columns))
    return list(map(StepResult, *columns, (metadata or {} for metadata in frame.metadata)))
