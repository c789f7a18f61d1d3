import array
import base64
import contextlib
import dataclasses
import decimal
import functools
import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from openenv import arrays
from openenv.errors import PayloadError

DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]
SHAPES = [(), (0,), (1,), (3, 0, 2), (2, 3), (200, 100, 4), (300,), (70_000,)]

encoder = msgspec.msgpack.Encoder(enc_hook=arrays.enc_hook_msgpack)
decoder = msgspec.msgpack.Decoder(ext_hook=arrays.decode_ext)
json_encoder = msgspec.json.Encoder(enc_hook=arrays.enc_hook_json)


@dataclasses.dataclass
class Sample:
    pixels: np.ndarray
    vector: NDArray[np.float32] | None = None
    number: NDArray[np.floating[Any]] | None = None


def decode_sample(data: Any) -> Sample:
    return msgspec.msgpack.decode(
        encoder.encode(data), type=Sample, ext_hook=arrays.decode_ext, dec_hook=arrays.dec_hook
    )


def ext(dtype: str, shape: list[Any], raw: bytes) -> memoryview:
    return memoryview(msgspec.msgpack.encode([dtype, shape]) + raw)


@pytest.fixture
def without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_numpy", lambda: None)


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_survives_both_encodings(dtype: str, shape: tuple[int, ...]) -> None:
    original = (np.arange(np.prod(shape, dtype=int)) % 100).reshape(shape).astype(dtype)

    for copy in (
        decoder.decode(encoder.encode(original)),
        arrays.decode_json(msgspec.json.decode(json_encoder.encode(original))),
    ):
        assert copy.dtype == original.dtype
        assert copy.shape == original.shape
        assert np.array_equal(copy, original)


@pytest.mark.parametrize(
    "original",
    [
        np.arange(24, dtype="f4").reshape(2, 3, 4).T,
        np.asfortranarray(np.arange(12, dtype="i8").reshape(3, 4)),
        np.arange(20, dtype="u2")[::3],
        np.arange(6, dtype=">f8").reshape(2, 3),
        np.arange(12, dtype=">i4")[::-2],
        np.broadcast_to(np.float32(2), (3, 4)),
    ],
    ids=["transposed", "fortran", "strided", "big-endian", "big-endian reversed", "broadcast"],
)
def test_any_memory_layout_arrives_in_c_order_little_endian(original: np.ndarray) -> None:
    copy = decoder.decode(encoder.encode(original))

    assert np.array_equal(copy, original)
    assert copy.flags.c_contiguous
    assert copy.dtype == original.dtype.newbyteorder("<")


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_like_one_before_is_the_same_on_the_wire(dtype: str) -> None:
    first = np.arange(6).reshape(2, 3).astype(dtype)
    grid = np.arange(24).reshape(4, 6).astype(dtype)
    encoder.encode(first)
    for second in (first + first, grid[::2, ::2], grid.T[:2, :3], first.astype(f">{dtype}")):
        assert encoder.encode(second) == encoder.encode(arrays.encode_ext(second))
        assert np.array_equal(decoder.decode(encoder.encode(second)), second)
    with pytest.raises(PayloadError, match="mask"):
        encoder.encode(np.ma.masked_array(first, first > 1))
    scalar = np.zeros((), dtype)
    encoder.encode(scalar)
    if scalar.dtype.kind != "c":
        # A numpy scalar has the same dtype and shape, and is a number all the same.
        assert encoder.encode(scalar[()]) == encoder.encode(scalar.item())


def test_special_numbers_travel_bit_by_bit() -> None:
    original = np.array([np.nan, np.inf, -np.inf, -0.0])
    assert decoder.decode(encoder.encode(original)).tobytes() == original.tobytes()


def test_the_payload_is_what_the_module_docstring_says() -> None:
    payload = arrays.encode_ext(np.array([[1, 2]], "<i2"))
    assert payload.code == 1
    assert payload.data == msgspec.msgpack.encode(["<i2", [1, 2]]) + b"\x01\x00\x02\x00"
    assert arrays.encode_json(np.array([[1, 2]], "<i2")) == {
        "__array__": base64.b64encode(b"\x01\x00\x02\x00").decode(),
        "dtype": "<i2",
        "shape": [1, 2],
    }


def test_dimensions_of_every_width_are_read() -> None:
    for size in (127, 128, 255, 256, 65_535, 65_536):
        assert decoder.decode(encoder.encode(np.zeros(size, "u1"))).shape == (size,)
    wide = memoryview(b"\x92\xa3|u1\x92\x01\xcf" + (5).to_bytes(8, "big") + b"abcde")
    assert arrays.decode_ext(1, wide).tolist() == [list(b"abcde")]


@given(st.binary(max_size=200), st.sampled_from(["|u1", "<f4", "<i2"]))
def test_elements_are_never_altered(raw: bytes, dtype: str) -> None:
    original = np.frombuffer(raw[: len(raw) // 8 * 8], dtype)
    assert decoder.decode(encoder.encode(original)).tobytes() == original.tobytes()


# ---------------------------------------------------------------- ownership


def test_a_large_array_is_a_readonly_view_of_the_message() -> None:
    message = bytearray(encoder.encode(np.zeros(arrays.VIEW_MIN_BYTES, "u1")))
    decoded = decoder.decode(message)
    message[-1] = 7

    assert decoded[-1] == 7
    assert not decoded.flags.writeable


def test_a_small_array_owns_its_bytes_and_can_be_written() -> None:
    message = bytearray(encoder.encode(np.zeros(arrays.VIEW_MIN_BYTES - 1, "u1")))
    decoded = decoder.decode(message)
    message[-1] = 7

    assert decoded[-1] == 0
    decoded[-1] = 9


# ---------------------------------------------------------------- what counts as an array


class TensorWithGradient:
    """Stands in for a torch tensor that requires grad: an array only once detached."""

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def detach(self) -> np.ndarray:
        return np.asarray(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise RuntimeError("requires grad")


class TensorElsewhere:
    """Stands in for a tensor on another device."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError("copy it to host memory first")


def test_a_tensor_is_detached_and_travels_as_an_array() -> None:
    decoded = decoder.decode(encoder.encode({"logits": TensorWithGradient([0.5, 1.5])}))
    assert decoded["logits"].tolist() == [0.5, 1.5]


def test_a_tensor_that_cannot_be_read_is_a_payload_error_with_the_reason() -> None:
    with pytest.raises(PayloadError, match=r"TensorElsewhere.*host memory"):
        arrays.encode_ext(TensorElsewhere())


@pytest.mark.parametrize("typecode", "bBhHiIlLqQfd")
def test_array_module_arrays_travel(typecode: str) -> None:
    original = array.array(typecode, [1, 2, 3])
    assert decoder.decode(encoder.encode(original)).tolist() == [1, 2, 3]


def test_a_multi_dimensional_memoryview_keeps_format_and_shape() -> None:
    view = memoryview(array.array("f", range(6))).cast("B").cast("f", (2, 3))
    assert arrays.decode_ext(*encoded(view)).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_strided_memoryview_is_packed() -> None:
    assert arrays.decode_ext(*encoded(memoryview(b"abcdef")[::2])).tolist() == list(b"ace")


def encoded(obj: Any) -> tuple[int, memoryview]:
    payload = arrays.encode_ext(obj)
    return payload.code, memoryview(payload.data)


@pytest.mark.parametrize("raw", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
def test_bytes_travel_as_bytes(raw: Any) -> None:
    assert decoder.decode(encoder.encode(raw)) == b"\x00\xff"


@pytest.mark.parametrize(
    ("scalar", "number"),
    [(np.float32(0.5), 0.5), (np.int64(-3), -3), (np.bool_(True), True), (np.uint8(7), 7)],
)
def test_numpy_scalars_become_python_numbers(scalar: Any, number: float) -> None:
    assert decoder.decode(encoder.encode(scalar)) == number
    assert msgspec.json.decode(json_encoder.encode(scalar)) == number
    assert type(arrays.plain(scalar)) is type(number)


@pytest.mark.parametrize("obj", [object(), {1, 2}, "text", [1, 2], 3.5])
def test_what_is_no_array_is_a_type_error(obj: Any) -> None:
    with pytest.raises(TypeError):
        arrays.encode_ext(obj)
    with pytest.raises(TypeError):
        arrays.plain(obj)


def test_an_unknown_object_is_named_by_the_encoders() -> None:
    for hooked in (encoder, json_encoder):
        with pytest.raises(TypeError, match=r"decimal\.Context cannot be encoded"):
            hooked.encode({"x": decimal.Context()})


@pytest.mark.parametrize(
    "obj",
    [
        np.array([object()]),
        np.array(["text"]),
        np.array([b"text"]),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.zeros((1,) * 16),
        np.ma.masked_array([1, 2], mask=[True, False]),
        array.array("u" if sys.version_info < (3, 13) else "w", "text"),
        np.zeros(2, ">i4").data,
        np.zeros(2, "c8").data,
    ],
)
def test_an_array_without_a_portable_form_says_what_to_do(obj: Any) -> None:
    with pytest.raises(PayloadError, match=r"astype|tolist|reshape|filled"):
        arrays.encode_ext(obj)


# ---------------------------------------------------------------- lies


LIES = {
    "too few bytes": ext("<f4", [2, 3], b"\0" * 23),
    "too many bytes": ext("<f4", [2, 3], b"\0" * 25),
    "huge dimension": ext("|u1", [2**63], b""),
    "huge and empty dimension": ext("|u1", [0, 2**63], b""),
    "overflowing product": ext("|u1", [2**32, 2**32], b""),
    "overflowing in bytes only": ext("<f8", [2**62], b""),
    "negative dimension": ext("|u1", [-1], b"\0"),
    "two negative dimensions": ext("|u1", [-1, -1], b"\0"),
    "fractional dimension": ext("|u1", [1.0], b"\0"),
    "sixteen dimensions": ext("|u1", [1] * 16, b"\0"),
    "unknown dtype": ext("<f3", [1], b"\0\0\0"),
    "big-endian dtype": ext(">f4", [1], b"\0" * 4),
    "object dtype": ext("|O", [1], b"\0" * 8),
    "structured dtype": ext("<i4,<i4", [1], b"\0" * 8),
    "dtype that is no text": memoryview(b"\x92\xa3\xff\xfe\xfd\x91\x01\0"),
    "dtype that is a number": memoryview(msgspec.msgpack.encode([4, [1]])),
    "shape that is a number": memoryview(msgspec.msgpack.encode(["|u1", 1]) + b"\0"),
    "no header": memoryview(b""),
    "header of one element": memoryview(msgspec.msgpack.encode(["|u1"])),
    "header of three elements": memoryview(msgspec.msgpack.encode(["|u1", [1], 1]) + b"\0"),
    "header that is a map": memoryview(msgspec.msgpack.encode({"|u1": [1]})),
    "header cut in the dtype": ext("<f4", [1], b"")[:3],
    "header cut before the shape": ext("<f4", [1], b"")[:5],
    "header cut in the shape": ext("<f4", [1, 2], b"")[:7],
    "header cut in a dimension": ext("<f4", [70_000], b"")[:-1],
    "booleans of two": ext("|b1", [2], b"\x01\x02"),
}


@pytest.mark.parametrize("payload", LIES.values(), ids=LIES.keys())
def test_a_lie_is_a_payload_error(payload: memoryview) -> None:
    with pytest.raises(PayloadError):
        arrays.decode_ext(arrays.EXT_CODE, payload)


@given(st.binary(max_size=64) | st.binary(max_size=32).map(lambda tail: b"\x92\xa3|u1" + tail))
def test_any_bytes_are_an_array_or_a_payload_error(payload: bytes) -> None:
    with contextlib.suppress(PayloadError):
        assert isinstance(arrays.decode_ext(arrays.EXT_CODE, memoryview(payload)), np.ndarray)


def test_every_truncation_of_a_good_payload_is_a_payload_error() -> None:
    payload = memoryview(bytes(arrays.encode_ext(np.zeros((300, 2), "u2")).data))
    for length in range(30):
        with pytest.raises(PayloadError):
            arrays.decode_ext(arrays.EXT_CODE, payload[:length])


def test_an_unknown_extension_is_a_payload_error() -> None:
    with pytest.raises(PayloadError, match="extension 7"):
        decoder.decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(7, b"")))


def test_the_limit_counts_the_bytes_of_the_elements() -> None:
    payload = encoder.encode(np.zeros(10, "f4"))
    for limit_bytes, fits in ((40, True), (39, False)):
        hook = functools.partial(arrays.decode_ext, limit_bytes=limit_bytes)
        if fits:
            assert msgspec.msgpack.decode(payload, ext_hook=hook).nbytes == 40
        else:
            with pytest.raises(PayloadError, match="limit of 39"):
                msgspec.msgpack.decode(payload, ext_hook=hook)


@pytest.mark.parametrize(
    "lie",
    [
        {"__array__": "AAAA"},
        {"__array__": "AAAA", "dtype": "|u1", "shape": [3], "order": "F"},
        {"__array__": "AAAA", "dtype": "|u1", "shape": [4]},
        {"__array__": "AAAA", "dtype": "|u1", "shape": [-3]},
        {"__array__": "AAAA", "dtype": "|u1", "shape": [-1, -3]},
        {"__array__": "AAAA", "dtype": "|u1", "shape": ["3"]},
        {"__array__": "AAAA", "dtype": "|u1", "shape": [True, 3]},
        {"__array__": "AAAA", "dtype": "|u1", "shape": 3},
        {"__array__": "AAAA", "dtype": "|u1", "shape": [10**400]},
        {"__array__": "AAAA", "dtype": "|O", "shape": [3]},
        {"__array__": "AAAA", "dtype": 3, "shape": [3]},
        {"__array__": "not base64!", "dtype": "|u1", "shape": [3]},
        {"__array__": "é", "dtype": "|u1", "shape": [3]},
        {"__array__": 5, "dtype": "|u1", "shape": [3]},
    ],
    ids=str,
)
def test_a_lie_in_json_is_a_payload_error(lie: dict[str, Any]) -> None:
    with pytest.raises(PayloadError):
        arrays.decode_json(lie)


# ---------------------------------------------------------------- typed fields


def test_typed_fields_take_arrays_lists_and_the_json_form() -> None:
    pixels = np.zeros((2, 2), "u1")
    sample = decode_sample({"pixels": pixels, "vector": [1, 2], "number": [1]})
    assert np.array_equal(sample.pixels, pixels)
    assert sample.vector is not None
    assert sample.vector.dtype == np.float32
    assert sample.number is not None
    assert sample.number.dtype == np.float64

    text = json_encoder.encode({"pixels": pixels, "vector": np.ones(2, "f4")})
    sample = msgspec.json.decode(text, type=Sample, dec_hook=arrays.dec_hook)
    assert sample.pixels.shape == (2, 2)
    assert sample.vector is not None
    assert sample.vector.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"pixels": "text"}, "got str - at `$.pixels`"),
        ({"pixels": None}, "got NoneType - at `$.pixels`"),
        ({"pixels": b"raw"}, "got bytes - at `$.pixels`"),
        ({"pixels": 3.5}, "got float - at `$.pixels`"),
        ({"pixels": ["a"]}, "got .* - at `$.pixels`"),
        ({"pixels": [[1, 2], [3]]}, "not an array: .* - at `$.pixels`"),
        ({"pixels": [{}]}, "- at `$.pixels`"),
        ({"pixels": {"data": [1]}}, "not an array: .*__array__.* - at `$.pixels`"),
        ({"pixels": [], "vector": ["a"]}, "not an array: .* - at `$.vector`"),
        ({"pixels": [], "vector": np.zeros(1, "f8")}, "of float32, got float64.*`$.vector`"),
        ({"pixels": [], "number": np.zeros(1, "i8")}, "of floating, got int64.*`$.number`"),
    ],
    ids=str,
)
def test_a_typed_field_names_the_path_and_the_reason(data: Any, reason: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=reason.replace("$", r"\$")):
        decode_sample(data)


def test_another_type_is_not_for_this_hook() -> None:
    with pytest.raises(NotImplementedError, match="complex"):
        arrays.dec_hook(complex, 1)


def test_the_schema_of_an_array_field_admits_its_json_form_and_lists() -> None:
    schema = msgspec.json.schema(Sample, schema_hook=arrays.schema_hook)
    binary, nested = schema["$defs"]["Sample"]["properties"]["pixels"]["anyOf"]
    assert set(binary["required"]) == set(arrays.encode_json(np.zeros(1)))
    assert nested == {"type": "array"}
    with pytest.raises(NotImplementedError, match="complex"):
        arrays.schema_hook(complex)


# ---------------------------------------------------------------- without numpy


@pytest.mark.usefixtures("without_numpy")
def test_without_numpy_an_array_arrives_as_a_memoryview() -> None:
    original = array.array("f", [1, 2, 3, 4, 5, 6])
    decoded = decoder.decode(encoder.encode(original))
    assert decoded == memoryview(original)

    pair = arrays.decode_ext(1, ext("<i4", [1, 2], bytes(8)))
    assert (pair.shape, pair.format, pair.tolist()) == ((1, 2), "i", [[0, 0]])
    assert arrays.decode_ext(1, ext("<f8", [0], b"")).shape == (0,)
    assert arrays.decode_ext(1, ext("<f8", [], bytes(8))).shape == ()


@pytest.mark.usefixtures("without_numpy")
@pytest.mark.parametrize(("dtype", "shape"), [("<f2", [2]), ("<c8", [1]), ("<f4", [0, 3])])
def test_without_numpy_what_a_memoryview_cannot_hold_says_what_to_install(
    dtype: str, shape: list[int]
) -> None:
    size = np.dtype(dtype).itemsize * int(np.prod(shape))
    with pytest.raises(PayloadError, match=r"openenv\[tensor\]"):
        arrays.decode_ext(1, ext(dtype, shape, bytes(size)))


@pytest.mark.usefixtures("without_numpy")
def test_without_numpy_lies_are_found_all_the_same() -> None:
    for payload in LIES.values():
        with pytest.raises(PayloadError):
            arrays.decode_ext(1, payload)


@pytest.mark.usefixtures("without_numpy")
def test_without_numpy_a_foreign_array_says_what_to_install() -> None:
    with pytest.raises(PayloadError, match=r"openenv\[tensor\]"):
        arrays.encode_ext(TensorElsewhere())


def test_numpy_is_looked_up_when_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert arrays._numpy.__wrapped__() is None
    with pytest.raises(TypeError, match="cannot be encoded"):
        arrays.enc_hook_msgpack(object())
