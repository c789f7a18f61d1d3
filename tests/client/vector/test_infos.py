"""Infos of many sessions: a dict of arrays, each with a mask of the sessions that have it."""

from typing import Any

import numpy as np
import pytest

from openenv.client.vector.infos import add_info, add_object


def infos_of(*each: dict[str, Any] | None) -> dict[str, Any]:
    infos: dict[str, Any] = {}
    for place, info in enumerate(each):
        if info is not None:
            add_info(infos, len(each), place, info)
    return infos


def test_a_mask_says_which_sessions_have_a_value() -> None:
    infos = infos_of({"lives": 3}, None, {"lives": 1})
    assert infos["lives"].tolist() == [3, 0, 1]
    assert infos["_lives"].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], np.int64),
        ([1, 2.5], np.float64),
        ([True, False], np.bool_),
        (["a", "b"], np.object_),
        ([1, "b"], np.object_),
        ([1, None], np.object_),
        ([np.float32(1), np.float32(2)], np.float32),
    ],
)
def test_an_array_has_a_type_that_holds_all_values(values: list[Any], dtype: Any) -> None:
    array = infos_of(*({"value": value} for value in values))["value"]
    assert array.dtype == dtype
    assert array.tolist() == values


def test_arrays_of_one_shape_are_stacked_and_others_are_objects() -> None:
    alike = infos_of({"row": np.zeros(2)}, {"row": np.ones(2)})["row"]
    assert alike.tolist() == [[0, 0], [1, 1]]
    different = infos_of({"row": np.zeros(2)}, {"row": np.ones(3)})["row"]
    assert different.dtype == object
    assert different[1].tolist() == [1, 1, 1]


def test_dicts_are_infos_of_their_own() -> None:
    infos = infos_of({"episode": {"length": 4}}, {"episode": {"length": 6}})
    assert infos["episode"]["length"].tolist() == [4, 6]
    assert infos["_episode"].tolist() == [True, True]


def test_an_object_is_kept_as_it_is_and_displaces_what_an_environment_calls_by_its_name() -> None:
    infos = infos_of({"session_error": 1}, None)
    error = ValueError("mine")
    add_object(infos, 2, "session_error", 1, error)
    assert infos["session_error"].tolist() == [None, error]
    assert infos["_session_error"].tolist() == [False, True]
