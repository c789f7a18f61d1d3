"""Payloads between bytes and classes: arrays in JSON, and bytes that are no payload."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pydantic
import pytest

from openenv import arrays
from openenv.arrays import Encoding
from openenv.codec import codec_for, decode_any
from openenv.errors import PayloadError
from openenv.protocol.frames import Result

BOARD = np.arange(6, dtype="<i2").reshape(2, 3)
ENCODINGS: list[Encoding] = ["msgpack", "json"]
ENCODE = {
    "msgpack": msgspec.msgpack.Encoder(enc_hook=arrays.enc_hook_msgpack).encode,
    "json": msgspec.json.Encoder(enc_hook=arrays.enc_hook_json).encode,
}


@dataclass
class Loose:
    """Says nothing of what its fields hold."""

    name: str
    data: Any = None
    more: dict[str, Any] = field(default_factory=dict)
    reward: float = 0.0


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    board: np.ndarray


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_arrays_arrive_as_arrays_where_no_class_says_so(encoding: Encoding) -> None:
    raw = ENCODE[encoding]({"deep": [{"board": BOARD}, "text"], "number": 1})
    for decoded in (
        decode_any(raw, encoding),
        decode_any(msgspec.Raw(raw), encoding),
        codec_for(None).decode(raw, encoding),
        codec_for(dict).restore(raw, encoding, Result(1, None)),
    ):
        assert decoded["deep"][1:] == ["text"]
        assert decoded["number"] == 1
        board = decoded["deep"][0]["board"]
        assert (board.dtype, board.tolist()) == (BOARD.dtype, BOARD.tolist())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_arrays_arrive_as_arrays_in_fields_of_any_type(encoding: Encoding) -> None:
    raw = ENCODE[encoding]({"name": "x", "data": BOARD, "more": {"boards": [BOARD]}})
    codec = codec_for(Loose)
    for loose in (
        codec.decode(raw, encoding),
        codec.restore(raw, encoding, Result(1, None, reward=2.0)),
    ):
        assert loose.data.tolist() == BOARD.tolist()
        assert loose.more["boards"][0].tolist() == BOARD.tolist()
    assert loose.reward == 2.0


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_arrays_arrive_as_arrays_in_pydantic_models(encoding: Encoding) -> None:
    raw = ENCODE[encoding]({"board": BOARD})
    assert codec_for(Model).decode(raw, encoding).board.tolist() == BOARD.tolist()


def test_text_that_mentions_the_key_of_arrays_stays_text() -> None:
    raw = b'{"name": "__array__", "data": ["__array__"], "reward": "NaN"}'
    loose = codec_for(Loose).decode(raw, "json")
    assert (loose.name, loose.data) == ("__array__", ["__array__"])
    assert loose.reward != loose.reward


def test_an_array_that_is_not_what_it_says_is_named_by_its_path() -> None:
    form = {"__array__": "AAAA", "dtype": "<i2", "shape": [2]}
    with pytest.raises(PayloadError, match=r"4 bytes, not 3 - at `\$\.boards\[1\]`") as caught:
        decode_any(ENCODE["json"]({"boards": [BOARD, form]}), "json")
    assert caught.value.path == ".boards[1]"


@pytest.mark.parametrize(
    ("encoding", "raw"),
    [
        ("json", b'{"name": "\xff"}'),
        ("json", b'{"name": "__array__", "data": ' + b"[" * 5000),
        ("json", b'{"name": 1, "data": ' + b"[" * 600 + b"]" * 600 + b"}"),
        ("json", b"{"),
        ("msgpack", b"\x81\xa4name\xa1\xff"),
        ("msgpack", b"\x81\xa4data" + b"\x91" * 5000),
        ("msgpack", b"\xc1"),
    ],
    ids=["text", "nesting", "nesting and a wrong type", "end", "text", "nesting", "no such byte"],
)
@pytest.mark.parametrize("cls", [Loose, Model])
def test_bytes_that_are_no_payload_are_a_payload_error(
    cls: type, encoding: Encoding, raw: bytes
) -> None:
    with pytest.raises(PayloadError):
        codec_for(cls).decode(raw, encoding)
    with pytest.raises(PayloadError):
        codec_for(cls).restore(raw, encoding, Result(1, None))


def test_numbers_as_keys_survive_the_slow_way() -> None:
    @dataclass
    class Counts:
        counts: dict[int, Any]

    raw = ENCODE["json"]({"counts": {1: BOARD}})
    assert codec_for(Counts).decode(raw, "json").counts[1].tolist() == BOARD.tolist()
