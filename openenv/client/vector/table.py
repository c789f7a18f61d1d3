"""Table: reads many payloads at once that differ only in the elements of their arrays.

Decoding an array costs microseconds, as much as a step of a cheap environment. The positions of the
elements are found once, in the first payload. The decoder reads payloads of another form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from openenv.client.vector.form import value_at

if TYPE_CHECKING:
    from openenv.client.vector.form import Leaf

    Array = np.ndarray[Any, Any]

_PAYLOAD_BYTES = 16 * 1024
"Larger payloads are not joined: the copy costs more than it saves."


class Table:
    """Reads payloads of one length, which are the same bytes but for the elements of arrays."""

    def __init__(self, payload: bytes, starts: list[int], leaves: list[Leaf]) -> None:
        size = len(payload)
        fields: list[tuple[str, Any, int]] = []
        self._fixed: list[tuple[str, Array]] = []
        end = 0
        for number, (start, leaf) in sorted(
            enumerate(zip(starts, leaves, strict=True)), key=lambda item: item[1][0]
        ):
            self._fix(fields, payload, end, start)
            fields.append((str(number), (leaf.dtype, leaf.shape), start))
            end = start + leaf.size_bytes
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
        if not leaves or len(payload) > _PAYLOAD_BYTES:
            return None
        if any(leaf.dtype is None or not leaf.size_bytes for leaf in leaves):
            return None
        base = _address(memoryview(payload))

        def place(_: int, data: memoryview) -> _Place | None:
            # The decoder does not say where the array was, so compute it from the address.
            end = _address(data) - base + len(data)
            return _Place(end) if payload[max(0, end - len(data)) : end] == data else None

        tree = msgspec.msgpack.Decoder(ext_hook=place).decode(payload)
        try:
            ends = [value_at(tree, leaf.path) for leaf in leaves]
        except (LookupError, AttributeError):
            # The class and the payload have different names for a field.
            return None
        if not all(type(end) is _Place for end in ends):
            return None
        starts = [end.offset - leaf.size_bytes for end, leaf in zip(ends, leaves, strict=True)]
        return cls(payload, starts, leaves)

    def read(self, payloads: bytes | memoryview) -> list[Array] | None:
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


def elements(raw: Any) -> memoryview:
    """Return the bytes of a MessagePack array's elements, which follow each other directly."""
    data = memoryview(raw)
    return data[{0xDC: 3, 0xDD: 5}.get(data[0], 1) :]


def _address(data: memoryview) -> int:
    address: int = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    return address
