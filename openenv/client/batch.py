"""Batch: encode the steps of many sessions and decode their results, both column by column.

Hooks, errors and replies that came singly are decoded one by one, as for a single step. Pool
chooses the links (pool.py); the pending requests are in link/requests.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from openenv.lifting import Columns
from openenv.models import StepResult
from openenv.protocol.columns import single_results, step_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.client.env import EnvClient
    from openenv.client.link.link import ClientLink
    from openenv.client.link.requests import BatchSink, ReplySink, Requests
    from openenv.errors import OpenEnvError
    from openenv.protocol.frames import Results
    from openenv.protocol.wire import Wire

    AnyClient = EnvClient[Any, Any, Any]
    StepResultOrError = StepResult[Any] | OpenEnvError


def link_of(client: AnyClient) -> ClientLink:
    """Return the link of a client of a pool: only clients outside of pools have another kind."""
    return cast("ClientLink", client._session.link)


def payloads_of(envs: Sequence[AnyClient], actions: Sequence[Any]) -> Sequence[Any]:
    """Return what each client sends for its action."""
    client_classes: set[type[AnyClient]] = set(map(type, envs))
    if any(cls._encodes_by_hook for cls in client_classes) or any(
        hasattr(cls, "model_dump") for cls in set(map(type, actions))
    ):
        return [env._payload(action) for env, action in zip(envs, actions, strict=True)]
    return actions


def send_steps(
    link: ClientLink,
    sessions: list[int],
    payloads: list[Any],
    timeout_s: float | None,
    patience_s: float,
    sink: ReplySink,
) -> Requests:
    """Step many sessions of a link, each with its payload.

    The sink gets each reply when it comes, errors included. Raises the error that the link was lost
    with.
    """
    next_id = link.next_id
    sink.ids = ids = [next_id() for _ in sessions]
    frames = step_frames(ids, sessions, payloads, timeout_s, link.capabilities)
    return link.send_many(sessions, frames, patience_s, sink)


def read_batch(batch: BatchSink, envs: Sequence[AnyClient], wire: Wire) -> list[StepResultOrError]:
    """Return the result of each client's step, in the clients' order; errors as values."""
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


def read_columns(
    clients: Sequence[AnyClient], frame: Results, wire: Wire
) -> list[StepResultOrError]:
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


def _results(observations: list[Any], frame: Results) -> list[StepResultOrError]:
    columns = (observations, frame.rewards, frame.done, frame.truncated)
    if frame.metadata is None:
        return list(map(StepResult, *columns))
    return list(map(StepResult, *columns, (metadata or {} for metadata in frame.metadata)))
