"""Observations of many sessions as arrays: which of their fields can be stacked, and doing it.

Keeps the last observation of each session of a vector. The form is decided once, by the first
observations, so that what `step` returns does not change its type in the middle of a run. Knows
nothing of requests (vector_flight.py) or of what else a reply says (vector.py).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from openenv.errors import OpenEnvError, PayloadError
from openenv.lifting import LIFTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openenv.client.env import EnvClient
    from openenv.protocol.frames import Result

    AnyClient = EnvClient[Any, Any, Any]

_READ_AT_ONCE_BYTES = 16 * 1024
"Up to this size payloads are put together to be read as one table; above it the copy costs more."


class Leaf(NamedTuple):
    """A field that is stacked: the way to it, and what it looks like in one observation."""

    path: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    "None for numbers and lists, which become what numpy makes of them."


class Observations:
    """The last observation of each of `count` sessions; stacked unless `stack` is False."""

    def __init__(self, count: int, *, stack: bool) -> None:
        self._count = count
        self._wants_stack = stack
        self._leaves: list[Leaf] | None = None
        "None until the form is decided, empty for a list of objects."
        self._columns: list[np.ndarray[Any, Any]] = []
        self._objects: list[Any] = [None] * count
        self._table: Table | None = None

    def take(
        self, indices: Sequence[int], clients: Sequence[AnyClient], replies: Sequence[Result]
    ) -> dict[int, OpenEnvError]:
        """Remember the observations of these replies, each of the session with that index.

        Return index -> error of those that cannot be read, or not be stacked with the others: for
        them the last observation stays.
        """
        columns, objects, failures = self.read(clients, replies)
        if failures:
            kept = [place for place in range(len(indices)) if place not in failures]
            indices, failures = (
                [indices[place] for place in kept],
                {indices[place]: error for place, error in failures.items()},
            )
        if not self._leaves:
            for index, value in zip(indices, objects, strict=True):
                self._objects[index] = value
        elif indices:
            for number, column in enumerate(columns):
                self._store(number, indices, column)
        return failures

    def read(
        self, clients: Sequence[AnyClient], replies: Sequence[Result]
    ) -> tuple[list[np.ndarray[Any, Any]], list[Any], dict[int, OpenEnvError]]:
        """Return what the replies hold, without what cannot be read: as columns, or as objects.

        And place -> error of what cannot.
        """
        if self._table is not None:
            columns = self._table.read(b"".join([reply.observation for reply in replies]))
            if columns is not None:
                return columns, [], {}
        values: list[Any] = []
        failures: dict[int, OpenEnvError] = {}
        for place, (client, reply) in enumerate(zip(clients, replies, strict=True)):
            try:
                values.append(client._result(reply).observation)
            except OpenEnvError as error:
                failures[place] = error
        if not values:
            return self._columns_of([]), [], failures
        if self._leaves is None:
            self._decide(values, clients[0], replies[0])
        if not self._leaves:
            return [], values, failures
        fitting = self._fitting(values, len(replies), failures)
        return self._columns_of(fitting), [], failures

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

    def one_of(self, columns: list[np.ndarray[Any, Any]], objects: list[Any], place: int) -> Any:
        """Return an observation among those that `read` has returned."""
        return self._form([column[place] for column in columns]) if columns else objects[place]

    # ---- the form

    def _decide(self, values: list[Any], client: AnyClient, reply: Result) -> None:
        found = [_leaves_of(value) for value in values]
        first = found[0]
        can_stack = self._wants_stack and first and all(leaves == first for leaves in found)
        self._leaves = list(first) if can_stack and first else []
        self._columns = [
            np.zeros((self._count, *leaf.shape), leaf.dtype or np.bool_) for leaf in self._leaves
        ]
        if not type(client)._parses_by_hook and client._session.connection.encoding == "msgpack":
            self._table = Table.of(bytes(reply.observation), self._leaves)

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

    def _store(self, number: int, indices: Sequence[int], column: np.ndarray[Any, Any]) -> None:
        kept = self._columns[number]
        if kept.dtype != column.dtype:
            # Numbers that have been whole so far.
            kept = self._columns[number] = kept.astype(np.result_type(kept, column))
        kept[indices] = column

    def _columns_of(self, values: list[Any]) -> list[np.ndarray[Any, Any]]:
        return [
            np.array([_at(value, leaf.path) for value in values], leaf.dtype)
            for leaf in self._leaves or ()
        ]

    def _fitting(
        self, values: list[Any], count: int, failures: dict[int, OpenEnvError]
    ) -> list[Any]:
        """Return the values that have the decided form; add an error for each that has not."""
        fitting = []
        places = [place for place in range(count) if place not in failures]
        for place, value in zip(places, values, strict=True):
            if _leaves_of(value) == self._leaves:
                fitting.append(value)
            else:
                failures[place] = PayloadError(
                    "the observation does not have the form of the first ones, "
                    f"{_described(self._leaves or [])}, so that they cannot be stacked: "
                    "make the vector with stack=False to get a list"
                )
        return fitting


class Table:
    """Reads payloads of the same length that differ in their arrays' elements only, all at once.

    Decoding an array takes microseconds; so many are read as one, by the places where their
    elements are in the first payload. What is around them must be the same bytes.
    """

    def __init__(self, payload: bytes, starts: list[int], leaves: list[Leaf]) -> None:
        size = len(payload)
        fields: list[tuple[str, Any, int]] = []
        self._fixed: list[tuple[str, np.ndarray[Any, Any]]] = []
        end = 0
        for number, (start, leaf) in sorted(
            enumerate(zip(starts, leaves, strict=True)), key=lambda item: item[1][0]
        ):
            self._fix(fields, payload, end, start)
            fields.append((str(number), (leaf.dtype, leaf.shape), start))
            end = start + _size_bytes(leaf)
        self._fix(fields, payload, end, size)
        names, formats, offsets = zip(*fields, strict=True)
        self._row = np.dtype(
            {"names": names, "formats": formats, "offsets": offsets, "itemsize": size}
        )
        self._columns = [
            (str(number), leaf.dtype == np.bool_) for number, leaf in enumerate(leaves)
        ]

    @classmethod
    def of(cls, payload: bytes, leaves: list[Leaf]) -> Table | None:
        """Return a table of payloads like this one; None if they cannot be read so."""
        if not leaves or len(payload) > _READ_AT_ONCE_BYTES:
            return None
        if any(leaf.dtype is None or not _size_bytes(leaf) for leaf in leaves):
            return None
        base = _address(memoryview(payload))
        decoder = msgspec.msgpack.Decoder(
            ext_hook=lambda _, data: _Place(_address(data) - base + len(data))
        )
        tree = decoder.decode(payload)
        try:
            ends = [_at(tree, leaf.path) for leaf in leaves]
        except (LookupError, AttributeError):
            # The class calls its fields otherwise than the payload does.
            return None
        if not all(type(end) is _Place for end in ends):
            return None
        starts = [end.offset - _size_bytes(leaf) for end, leaf in zip(ends, leaves, strict=True)]
        return cls(payload, starts, leaves)

    def read(self, payloads: bytes) -> list[np.ndarray[Any, Any]] | None:
        """Return a column for each leaf of these payloads, which follow each other directly.

        None if not all of them are like the first one.
        """
        if not payloads or len(payloads) % self._row.itemsize:
            return None
        rows = np.frombuffer(payloads, self._row)
        for name, expected in self._fixed:
            if not (rows[name] == expected).all():
                return None
        columns = []
        for name, is_boolean in self._columns:
            column = rows[name].copy()
            if is_boolean and column.view(np.uint8).max() > 1:
                return None
            columns.append(column)
        return columns

    def _fix(
        self, fields: list[tuple[str, Any, int]], payload: bytes, start: int, end: int
    ) -> None:
        if end > start:
            name = f"fixed {start}"
            fields.append((name, (np.uint8, (end - start,)), start))
            self._fixed.append((name, np.frombuffer(payload, np.uint8)[start:end]))


class _Place(NamedTuple):
    """Where an array ends in a payload."""

    offset: int


def _address(data: memoryview) -> int:
    address: int = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    return address


def _size_bytes(leaf: Leaf) -> int:
    return 0 if leaf.dtype is None else leaf.dtype.itemsize * math.prod(leaf.shape)


def _leaves_of(value: Any, path: tuple[str, ...] = ()) -> list[Leaf] | None:
    """Return the leaves of an observation; None if something in it cannot be stacked."""
    fields = _fields_of(value)
    if fields is None:
        leaf = _leaf(value, path)
        return None if leaf is None else [leaf]
    leaves: list[Leaf] = []
    for name, inner in fields:
        if not path and name in LIFTED:
            continue
        below = _leaves_of(inner, (*path, name))
        if below is None:
            return None
        leaves += below
    return leaves or None


def _fields_of(value: Any) -> Iterator[tuple[str, Any]] | None:
    if isinstance(value, dict):
        return iter(value.items())
    if isinstance(value, msgspec.Struct):
        names: Any = value.__struct_fields__
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif hasattr(value, "model_dump"):
        names = type(value).model_fields
    else:
        return None
    return ((name, getattr(value, name)) for name in names)


def _leaf(value: Any, path: tuple[str, ...]) -> Leaf | None:
    if isinstance(value, np.ndarray):
        return Leaf(path, value.shape, value.dtype) if value.dtype.kind in "biufc" else None
    if isinstance(value, bool | int | float):
        return Leaf(path, (), None)
    if not isinstance(value, list | tuple):
        return None
    try:
        array = np.array(value)
    except ValueError:  # lists of different lengths
        return None
    return Leaf(path, array.shape, None) if array.size and array.dtype.kind in "biuf" else None


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


def _described(leaves: list[Leaf]) -> str:
    return ", ".join(
        f"{'.'.join(leaf.path) or 'observation'}: {leaf.dtype or 'numbers'} {list(leaf.shape)}"
        for leaf in leaves
    )
