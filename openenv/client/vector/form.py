"""Form: the fields of an observation that hold numbers, lists of numbers or arrays.

An observation with any other field has no form, and is not stacked. observations.py stacks.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from openenv.lifting import LIFTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KINDS = "biufc"
"numpy's kinds of numbers."


class Leaf(NamedTuple):
    """A field that is stacked: its path, and its shape and type in one observation."""

    path: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    "None for numbers and lists: numpy chooses the type."

    @property
    def size_bytes(self) -> int:
        """How many bytes the elements of an array take."""
        return 0 if self.dtype is None else self.dtype.itemsize * math.prod(self.shape)


def leaves_of(value: Any, path: tuple[str, ...] = ()) -> list[Leaf] | None:
    """Return the leaves of an observation; None if something in it cannot be stacked."""
    fields = _fields_of(value)
    if fields is None:
        leaf = _leaf(value, path)
        return None if leaf is None else [leaf]
    leaves: list[Leaf] = []
    for name, inner in fields:
        if not path and name in LIFTED:
            continue
        below = leaves_of(inner, (*path, name))
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
        return Leaf(path, value.shape, value.dtype) if value.dtype.kind in KINDS else None
    if isinstance(value, bool | int | float):
        return Leaf(path, (), None)
    if not isinstance(value, list | tuple):
        return None
    try:
        array = np.array(value)
    except ValueError:  # lists of different lengths
        return None
    return Leaf(path, array.shape, None) if array.size and array.dtype.kind in KINDS else None


def value_at(value: Any, path: tuple[str, ...]) -> Any:
    """Return the value at this path of an observation, or of its decoded payload."""
    for name in path:
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


def described(leaves: Sequence[Leaf]) -> str:
    """Return the form in words, for a message."""
    return ", ".join(
        f"{'.'.join(leaf.path) or 'observation'}: {leaf.dtype or 'numbers'} {list(leaf.shape)}"
        for leaf in leaves
    )
