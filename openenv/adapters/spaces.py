"""Gymnasium's spaces as classes of payloads, as JSON schema, and back.

`annotation` says what a field that holds a sample is annotated with, so that frames are decoded and
checked as for any other environment; `to_payload` and `from_payload` turn samples into such values
and back; `space_of` makes a space of a schema again. Knows nothing of environments.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Mapping, Sequence
from functools import singledispatch
from typing import Annotated, Any, TypedDict

import numpy as np
from gymnasium import spaces
from msgspec import Meta

from openenv.errors import ConfigurationError
from openenv.payloads.schema import integer_bounds, properties, resolve

_SCALAR_BOUNDS_ONLY = 1024
"Of larger arrays the schema says only the lowest and the highest bound of all elements."


# ---- annotations


@singledispatch
def annotation(space: Any, name: str) -> Any:
    """Return the type of a payload's field that holds a sample; `name` is for what is made for it.

    Raises ConfigurationError.
    """
    if space.dtype is not None and space.dtype.kind == "U":
        # A space of strings that is not Gymnasium's own; MiniGrid's missions are.
        return str
    raise ConfigurationError(
        f"samples of {space!r} cannot travel: wrap the environment, in FlattenObservation perhaps"
    )


@annotation.register(spaces.Discrete)
def _(space: Any, _: str) -> Any:
    first = int(space.start)
    return Annotated[int, Meta(ge=first, le=first + int(space.n) - 1)]


@annotation.register(spaces.Box)
@annotation.register(spaces.MultiBinary)
@annotation.register(spaces.MultiDiscrete)
def _(space: Any, _: str) -> Any:
    return Annotated[np.ndarray, Meta(extra_json_schema=_array_schema(space))]


@annotation.register(spaces.Text)
def _(space: Any, _: str) -> Any:
    return Annotated[
        str,
        Meta(
            min_length=int(space.min_length),
            max_length=int(space.max_length),
            extra_json_schema={"alphabet": "".join(sorted(space.character_set))},
        ),
    ]


@annotation.register(spaces.Dict)
def _(space: Any, name: str) -> Any:
    # No dataclass: keys need not be names.
    fields = {key: annotation(inner, f"{name}_{key}") for key, inner in space.spaces.items()}
    return TypedDict(name, fields)  # type: ignore[operator]


@annotation.register(spaces.Tuple)
def _(space: Any, name: str) -> Any:
    fields = (annotation(inner, f"{name}_{index}") for index, inner in enumerate(space.spaces))
    return tuple[tuple(fields)]  # type: ignore[misc]


@annotation.register(spaces.Sequence)
def _(space: Any, name: str) -> Any:
    if space.stack:
        raise ConfigurationError(f"{space!r} stacks its samples, which cannot travel: wrap it")
    return list[annotation(space.feature_space, name)]  # type: ignore[misc]


def _array_schema(space: Any) -> dict[str, Any]:
    """Return what a schema says of an array, beside the two forms that it may travel in."""
    low, high = _bounds(space)
    array: dict[str, Any] = {"dtype": str(space.dtype), "shape": list(space.shape)}
    if not low.size:
        array |= {"low": None, "high": None}
    elif low.size <= _SCALAR_BOUNDS_ONLY and not (_is_even(low) and _is_even(high)):
        array |= {"low": _bound_list(low), "high": _bound_list(high)}
    else:
        array |= {"low": _bound(low.min()), "high": _bound(high.max())}
    return {"array": array}


def _bounds(space: Any) -> tuple[Any, Any]:
    if isinstance(space, spaces.Box):
        return space.low, space.high
    if isinstance(space, spaces.MultiBinary):
        return np.zeros(space.shape, space.dtype), np.ones(space.shape, space.dtype)
    return space.start, space.start + space.nvec - 1


def _is_even(bound: Any) -> bool:
    return bool(np.all(bound == bound.flat[0]))


def _bound(value: Any) -> Any:
    """Return a bound as JSON has it: None for what is not bounded."""
    return value.item() if math.isfinite(value) else None


def _bound_list(bound: Any) -> Any:
    return [_bound_list(inner) if inner.ndim else _bound(inner) for inner in bound]


# ---- samples


@singledispatch
def to_payload(space: Any, sample: Any) -> Any:
    """Return a sample as a payload holds it."""
    return sample


@to_payload.register(spaces.Discrete)
def _(space: Any, sample: Any) -> Any:
    return int(sample)


@to_payload.register(spaces.Dict)
def _(space: Any, sample: Any) -> Any:
    return {key: to_payload(inner, sample[key]) for key, inner in space.spaces.items()}


@to_payload.register(spaces.Tuple)
def _(space: Any, sample: Any) -> Any:
    return tuple(to_payload(*pair) for pair in zip(space.spaces, sample, strict=True))


@to_payload.register(spaces.Sequence)
def _(space: Any, sample: Any) -> Any:
    return [to_payload(space.feature_space, item) for item in sample]


def from_payload(space: spaces.Space[Any], value: Any) -> Any:
    """Return the sample that a payload holds. Raises ValueError for what is not in the space."""
    try:
        sample = _sample(space, value)
        if space.contains(sample):
            return sample
    except (TypeError, ValueError, KeyError, IndexError, OverflowError):
        pass
    raise ValueError(f"{_shown(value)} is not in {space}")


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


@singledispatch
def _sample(space: Any, value: Any) -> Any:
    return value


@_sample.register(spaces.Discrete)
def _(space: Any, value: Any) -> Any:
    return space.dtype.type(value) if type(value) is int else value


@_sample.register(spaces.Box)
@_sample.register(spaces.MultiBinary)
@_sample.register(spaces.MultiDiscrete)
def _(space: Any, value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError("no numbers")
    if array.ndim == 1 and array.shape != space.shape:
        array = array.reshape(space.shape)
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(space.dtype, copy=False)
    if cast.dtype.kind != "f" and not np.array_equal(cast, array):
        # To floats, numbers are rounded; of whole numbers nothing may be lost.
        raise ValueError("numbers that the space's type does not hold")
    return cast


@_sample.register(spaces.Dict)
def _(space: Any, value: Any) -> Any:
    if set(value) != set(space.spaces):
        return value
    return {key: _sample(inner, value[key]) for key, inner in space.spaces.items()}


@_sample.register(spaces.Tuple)
def _(space: Any, value: Any) -> Any:
    return tuple(_sample(*pair) for pair in zip(space.spaces, value, strict=True))


@_sample.register(spaces.Sequence)
def _(space: Any, value: Any) -> Any:
    return tuple(_sample(space.feature_space, item) for item in value)


# ---- and back


def space_of(schema: Mapping[str, Any]) -> spaces.Space[Any]:
    """Return the space whose samples a schema describes. Raises ConfigurationError.

    What the schema does not tell apart comes back as Box: MultiBinary and MultiDiscrete.
    """

    def space_of_part(reference: Any) -> spaces.Space[Any]:
        part = resolve(reference, schema)
        if "array" in part:
            return _box(**part["array"])
        make = _BY_TYPE.get(part.get("type"))
        if make is None:
            raise ConfigurationError(f"no space has samples of the schema {dict(part)}")
        return make(part, space_of_part)

    return space_of_part(schema)


def _box(dtype: str, shape: Sequence[int], low: Any, high: Any) -> spaces.Box:
    def filled(bound: Any, missing: float) -> Any:
        array = np.array(bound, dtype=object)
        array[array == None] = missing  # noqa: E711 - element by element
        return np.broadcast_to(array.astype(dtype), tuple(shape))

    return spaces.Box(filled(low, -np.inf), filled(high, np.inf), tuple(shape), np.dtype(dtype))


SpaceOf = Callable[[Any], spaces.Space[Any]]


def _discrete(part: Any, _: SpaceOf) -> spaces.Space[Any]:
    first, last = integer_bounds(part)
    if last is None:
        raise ConfigurationError("an integer without a maximum is no Discrete space")
    first = first or 0
    return spaces.Discrete(last - first + 1, start=first)


def _text(part: Any, _: SpaceOf) -> spaces.Space[Any]:
    return spaces.Text(
        part.get("maxLength", 4096),
        min_length=part.get("minLength", 0),
        charset=part.get("alphabet", string.printable),
    )


def _dict(part: Any, space_of_part: SpaceOf) -> spaces.Space[Any]:
    return spaces.Dict({key: space_of_part(inner) for key, inner in properties(part).items()})


def _items(part: Any, space_of_part: SpaceOf) -> spaces.Space[Any]:
    if "prefixItems" in part:
        return spaces.Tuple([space_of_part(inner) for inner in part["prefixItems"]])
    return spaces.Sequence(space_of_part(part.get("items", {})))


_BY_TYPE: dict[str | None, Callable[[Any, SpaceOf], spaces.Space[Any]]] = {
    "integer": _discrete,
    "string": _text,
    "object": _dict,
    "array": _items,
}
