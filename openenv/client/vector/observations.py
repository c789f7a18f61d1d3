"""Observations: the last observation of each session of a vector, stacked into arrays.

The first observations decide which fields are stacked, once, so that `step` returns the same types
throughout a run. Knows nothing of requests (flight.py) or of rewards and flags (results.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from openenv.client.batch import link_of, read_columns
from openenv.client.vector.flight import BatchReply, StepOutcome
from openenv.client.vector.form import KINDS, described, leaves_of, value_at
from openenv.client.vector.table import Table, elements
from openenv.errors import OpenEnvError, PayloadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.client.env import EnvClient
    from openenv.client.vector.flight import Arrival
    from openenv.client.vector.form import Leaf
    from openenv.protocol.frames import Result

    AnyClient = EnvClient[Any, Any, Any]
    Array = np.ndarray[Any, Any]
    Failures = dict[int, OpenEnvError]
    "Index of a session -> why its observation cannot be decoded or stacked."


class Observations:
    """The last observation of each session of a vector; stacked unless `stack` is False."""

    def __init__(self, clients: Sequence[AnyClient], *, stack: bool) -> None:
        self._clients = clients
        self._wants_stack = stack
        self._leaves: list[Leaf] | None = None
        "None until the form is decided, empty for a list of objects."
        self._columns: list[Array] = []
        self._objects: list[Any] = [None] * len(clients)
        self._outlines: set[Any] = set()
        "Keys or classes of observations that have the form; empty if the form has nested fields."
        self._table: Table | None = None

    def remember(self, indices: Sequence[int], arrivals: Sequence[Arrival]) -> Failures:
        """Store the new observations of the sessions `indices`.

        Return index -> error for those that cannot be decoded or stacked with the others; such a
        session keeps its last observation.
        """
        if self._table is not None:
            payloads = [_payloads(arrival) for arrival in arrivals]
            columns = self._table.read(b"".join(payloads))
            if columns is not None and len(columns[0]) == len(indices):
                self._store(indices, columns)
                return {}
        failures: Failures = {}
        for arrival in arrivals:
            if type(arrival) is BatchReply:
                failures |= self._remember_values(arrival.indices, self._read_rows(arrival))
        shown = [one for one in arrivals if type(one) is StepOutcome and one.shown is not None]
        if shown:
            places = [outcome.index for outcome in shown]
            replies = [outcome.shown for outcome in shown]
            values = [_read(self._clients[outcome.index], outcome.shown) for outcome in shown]
            if self._leaves is None:
                self._decide(places[0], values, replies)
            failures |= self._remember_values(places, values)
        return failures

    def _read_rows(self, rows: BatchReply) -> list[Any]:
        """Return the observations of many replies, errors as values."""
        clients = [self._clients[index] for index in rows.indices]
        results = read_columns(clients, rows.frame, link_of(clients[0]).wire)
        return [one if isinstance(one, OpenEnvError) else one.observation for one in results]

    def read_one(self, index: int, reply: Result) -> tuple[Any, OpenEnvError | None]:
        """Return a reply's observation without storing it; or the last one, and an error."""
        value = _read(self._clients[index], reply)
        if self._leaves:
            value = self._misfit(value) or value
        if isinstance(value, OpenEnvError):
            return self.one(index), value
        if not self._leaves:
            return value, None
        return self._form([column[0] for column in self._columns_of([value])]), None

    def of_all(self) -> Any:
        """Return the last observations of all sessions, in their order; a copy."""
        if not self._leaves:
            return list(self._objects)
        return self._form([column.copy() for column in self._columns])

    def of(self, indices: Sequence[int]) -> Any:
        """Return the last observations of these sessions; a copy."""
        if not self._leaves:
            return [self._objects[index] for index in indices]
        return self._form([column[indices] for column in self._columns])

    def one(self, index: int) -> Any:
        """Return the last observation of a session; a copy."""
        if not self._leaves:
            return self._objects[index]
        return self._form([column[index].copy() for column in self._columns])

    # ---- values

    def _remember_values(self, indices: Sequence[int], values: list[Any]) -> Failures:
        """Store observations, some of which may be errors."""
        failures: Failures = {}
        columns = self._fitting_columns(values) if self._leaves else None
        if columns is None:
            checked = [self._misfit(value) or value for value in values]
            failures = {
                index: value
                for index, value in zip(indices, checked, strict=True)
                if isinstance(value, OpenEnvError)
            }
            indices = [index for index in indices if index not in failures]
            values = [value for value in checked if not isinstance(value, OpenEnvError)]
            columns = self._columns_of(values)
        if not self._leaves:
            for index, value in zip(indices, values, strict=True):
                self._objects[index] = value
        elif indices:
            self._store(indices, columns)
        return failures

    def _store(self, indices: Sequence[int], columns: list[Array]) -> None:
        for number, column in enumerate(columns):
            kept = self._columns[number]
            if kept.dtype != column.dtype:
                # Whole numbers so far, and a fraction now: widen the column.
                kept = self._columns[number] = kept.astype(np.result_type(kept, column))
            kept[indices] = column

    def _columns_of(self, values: list[Any]) -> list[Array]:
        """Return the columns of values that have the form."""
        return [
            np.array([value_at(value, leaf.path) for value in values], leaf.dtype)
            for leaf in self._leaves or ()
        ]

    def _fitting_columns(self, values: list[Any]) -> list[Array] | None:
        """Return the columns of values if all have the form; None if each must be checked."""
        columns = []
        try:
            if set(map(_outline, values)) != self._outlines:
                return None
            for leaf in self._leaves or ():
                items = [value_at(value, leaf.path) for value in values]
                if leaf.dtype is not None and any(
                    type(item) is not np.ndarray
                    or item.dtype != leaf.dtype
                    or item.shape != leaf.shape
                    for item in items
                ):
                    return None
                column = np.array(items)
                if column.dtype.kind not in KINDS or column.shape[1:] != leaf.shape:
                    return None
                columns.append(column)
        except (ValueError, LookupError, AttributeError, TypeError):
            return None
        return columns

    def _misfit(self, value: Any) -> OpenEnvError | None:
        """Return why a value cannot be one of the observations."""
        if isinstance(value, OpenEnvError) or not self._leaves:
            return value if isinstance(value, OpenEnvError) else None
        if leaves_of(value) == self._leaves:
            return None
        return PayloadError(
            f"the observation does not have the form of the first ones, {described(self._leaves)},"
            " so that they cannot be stacked: make the vector with stack=False to get a list"
        )

    # ---- the form

    def _decide(self, index: int, values: list[Any], replies: Sequence[Result]) -> None:
        read = [place for place, one in enumerate(values) if not isinstance(one, OpenEnvError)]
        if not read:
            return
        found = [leaves_of(values[place]) for place in read]
        leaves = found[0]
        can_stack = self._wants_stack and all(other == leaves for other in found)
        if all(len(leaf.path) <= 1 for leaf in leaves or ()):
            self._outlines = set(map(_outline, (values[place] for place in read)))
        self._leaves = leaves if can_stack and leaves else []
        self._columns = [
            np.zeros((len(self._clients), *leaf.shape), leaf.dtype or np.bool_)
            for leaf in self._leaves
        ]
        client = self._clients[index]
        if not client._parses_by_hook and client._session.link.encoding == "msgpack":
            self._table = Table.of(bytes(replies[read[0]].observation), self._leaves)

    def _form(self, columns: list[Any]) -> Any:
        """Return the columns as the user sees them: one array, or dicts of arrays."""
        assert self._leaves is not None
        if len(columns) == 1 and len(self._leaves[0].path) <= 1:
            return columns[0]
        formed: dict[str, Any] = {}
        for leaf, column in zip(self._leaves, columns, strict=True):
            inner = formed
            for name in leaf.path[:-1]:
                inner = inner.setdefault(name, {})
            inner[leaf.path[-1]] = column
        return formed


def _payloads(arrival: Arrival) -> Any:
    """Return the payloads of what was observed, one after the other."""
    if type(arrival) is BatchReply:
        return elements(arrival.frame.observations)
    return b"" if arrival.shown is None else arrival.shown.observation  # type: ignore[union-attr]


def _outline(value: Any) -> Any:
    return tuple(value) if isinstance(value, dict) else type(value)


def _read(client: AnyClient, reply: Result) -> Any:
    """Return a reply's observation, an error as a value."""
    try:
        return client._result(reply).observation
    except OpenEnvError as error:
        return error
