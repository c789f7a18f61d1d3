"""Infos of a vector, as Gymnasium's vectors have them: a dict of arrays, each with its mask.

`infos["lives"]` holds the lives of each session, `infos["_lives"]` which sessions have that key.
Knows nothing of outcomes: results.py says what goes in.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FINAL_OBSERVATION = "final_obs"
FINAL_INFO = "final_info"
ENV_ID = "env_id"
ERROR = "session_error"

_NUMBERS = (int, float, bool)
_NUMERIC = (*_NUMBERS, np.number, np.ndarray)


def add_info(infos: dict[str, Any], size: int, place: int, info: dict[str, Any]) -> None:
    """Put the info of the session in row `place` into the infos of `size` sessions.

    Numbers become arrays of their type, arrays are stacked, dicts are infos of their own, and
    anything else is an element of an array of objects. The first value decides for its key, unless
    a later one does not fit: then the array becomes one of objects.
    """
    for key, value in info.items():
        if isinstance(value, dict):
            inner = infos.setdefault(key, {})
            if isinstance(inner, dict):
                add_info(inner, size, place, value)
            else:
                infos[key] = _with(inner, place, value)
        else:
            array = infos.get(key)
            if array is None:
                array = _array_for(value, size)
            elif isinstance(array, dict):
                # Another session has a dict under this key, and no array can hold both: keep it.
                continue
            infos[key] = _with(array, place, value)
        infos.setdefault(f"_{key}", np.zeros(size, np.bool_))[place] = True


def add_object(infos: dict[str, Any], size: int, key: str, place: int, value: Any) -> None:
    """Put a value as it is into the infos of `size` sessions."""
    array = infos.get(key)
    if not isinstance(array, np.ndarray) or array.dtype != object:
        # An environment's own value under this key is replaced.
        array = infos[key] = np.full(size, None, dtype=object)
        infos[f"_{key}"] = np.zeros(size, np.bool_)
    array[place] = value
    infos[f"_{key}"][place] = True


def _array_for(value: Any, size: int) -> np.ndarray[Any, Any]:
    if type(value) in _NUMBERS:
        return np.zeros(size, type(value))
    if isinstance(value, np.ndarray | np.number):
        return np.zeros((size, *value.shape), value.dtype)
    return np.full(size, None, dtype=object)


def _with(array: np.ndarray[Any, Any], place: int, value: Any) -> np.ndarray[Any, Any]:
    """Return the array with the value in its place; another array if this one cannot hold it."""
    if array.dtype != object:
        given = np.asarray(value) if isinstance(value, _NUMERIC) else None
        if given is None or given.dtype.kind not in "biufc" or given.shape != array.shape[1:]:
            array = _as_objects(array)
        elif not np.can_cast(given.dtype, array.dtype, "safe"):
            array = array.astype(np.result_type(array, given))
    array[place] = value
    return array


def _as_objects(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    objects = np.full(len(array), None, dtype=object)
    for place, value in enumerate(array):
        objects[place] = value
    return objects
