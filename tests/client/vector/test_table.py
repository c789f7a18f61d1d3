"""Payloads that differ in the elements of their arrays only, read at once."""

from typing import Any

import msgspec
import numpy as np
import pytest

from openenv import arrays
from openenv.client.vector.form import leaves_of
from openenv.client.vector.table import Table, elements

_encode = msgspec.msgpack.Encoder(enc_hook=arrays.enc_hook_msgpack).encode


def table_of(observation: Any) -> Table | None:
    return Table.of(_encode(observation), leaves_of(observation) or [])


def observation(value: float, name: int = 7) -> dict[str, Any]:
    return {
        "position": np.full(3, value, np.float32),
        "image": np.full((2, 2), value, np.uint8),
    } | ({} if name == 7 else {"other": name})


def test_columns_hold_the_elements_of_all_payloads() -> None:
    table = table_of(observation(1))
    assert table is not None
    columns = table.read(b"".join(_encode(observation(value)) for value in (1, 2, 3)))
    assert columns is not None
    position, image = columns
    assert position.tolist() == [[1] * 3, [2] * 3, [3] * 3]
    assert (image.dtype, image.shape) == (np.uint8, (3, 2, 2))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        _encode(observation(1))[:-1],
        _encode(observation(1, name=8)),
        _encode({**observation(1), "position": np.zeros(3, np.int32)}),
    ],
    ids=["nothing", "too short", "another field", "another type"],
)
def test_payloads_of_another_form_are_left_to_the_decoder(payload: bytes) -> None:
    table = table_of(observation(1))
    assert table is not None
    assert table.read(payload) is None


@pytest.mark.parametrize(
    "value",
    [{"number": 1}, {"empty": np.zeros(0)}, {"large": np.zeros(1 << 16)}],
    ids=["no array", "no element", "too large to copy"],
)
def test_there_is_no_table_of_what_cannot_be_read_so(value: Any) -> None:
    assert table_of(value) is None


def test_a_boolean_that_is_none_is_left_to_the_decoder() -> None:
    flags = {"flags": np.array([True, False])}
    table, payload = table_of(flags), _encode(flags)
    assert table is not None
    assert [column.tolist() for column in table.read(payload) or []] == [[[True, False]]]
    assert table.read(payload.replace(b"\x01\x00", b"\x02\x00")) is None


@pytest.mark.parametrize("count", [0, 3, 20, 1 << 16])
def test_the_elements_of_an_array_follow_its_header(count: int) -> None:
    assert bytes(elements(msgspec.msgpack.encode([1] * count))) == b"\x01" * count
