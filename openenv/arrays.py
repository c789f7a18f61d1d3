"""Arrays on the wire: dtype, shape and raw bytes, checked against lies.

Owns the MessagePack extension, its JSON form and the hooks that msgspec calls for them. numpy is
imported when the first array needs it; where it is not installed, arrays arrive as memoryviews.
Knows nothing of schemas, frames or sessions; `openenv.codec` plugs the hooks in.

The extension's payload is the MessagePack array `[dtype, shape]` (at most 15 dimensions, sizes as
unsigned integers), followed directly by the elements in C order, little-endian. dtype is numpy's
string for it: "<f4", "|u1", "|b1". In JSON the same is
`{"__array__": "<base64>", "dtype": "<f4", "shape": [2, 3]}`.

bytes, bytearray and memoryview never reach these hooks: msgspec itself writes them as MessagePack
bin (in JSON as a base64 string), a memoryview without its format and shape.
"""

import array
import binascii
import functools
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from openenv.errors import PayloadError

__all__ = [
    "EXT_CODE",
    "JSON_KEY",
    "NON_FINITE",
    "VIEW_MIN_BYTES",
    "Encoding",
    "dec_hook",
    "decode_ext",
    "decode_json",
    "enc_hook_json",
    "enc_hook_msgpack",
    "encode_ext",
    "encode_json",
    "plain",
    "restore",
    "schema_hook",
    "take_apart",
]

Encoding = Literal["msgpack", "json"]
"The two ways in which payloads are written."

NON_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"How JSON spells the numbers that it lacks."

EXT_CODE: Final = 1
JSON_KEY: Final = "__array__"
VIEW_MIN_BYTES: Final = 64 * 1024
"Smaller arrays are copied out, so that they do not keep the whole message in memory."

_MAX_DIMENSIONS = 15  # what one byte of MessagePack array header can say
_BYTE_ORDER = "<" if sys.byteorder == "little" else ">"

# dtype -> (bytes per element, format of a memoryview that can hold it; "" if none can).
_DTYPES: Final = {
    "|b1": (1, "?"),
    "|i1": (1, "b"),
    "|u1": (1, "B"),
    "<i2": (2, "h"),
    "<u2": (2, "H"),
    "<i4": (4, "i"),
    "<u4": (4, "I"),
    "<i8": (8, "q"),
    "<u8": (8, "Q"),
    "<f2": (2, ""),
    "<f4": (4, "f"),
    "<f8": (8, "d"),
    "<c8": (8, ""),
    "<c16": (16, ""),
}
# Kind of each memoryview format; its size depends on the platform and comes from the memoryview.
_KINDS: Final = {
    "?": "b",
    **dict.fromkeys("bhilqn", "i"),
    **dict.fromkeys("BHILQN", "u"),
    **dict.fromkeys("efd", "f"),
}
# First byte of a MessagePack unsigned integer -> how many bytes of number follow.
_UINT_BYTES: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}


def encode_ext(obj: Any) -> msgspec.msgpack.Ext:
    """Encode an array as a MessagePack extension, with one copy of its bytes.

    Takes what numpy can turn into an array without guessing (ndarray, torch tensors on the CPU,
    anything with `__array__`), array.array and memoryview. Raises TypeError for everything else
    and PayloadError for an array whose elements have no portable form.
    """
    header, raw = take_apart(obj)
    _remember(obj, header)
    return msgspec.msgpack.Ext(EXT_CODE, b"".join((header, raw)))


def take_apart(obj: Any) -> tuple[bytes, Any]:
    """Return the two parts of the extension's payload: header, and a buffer of the elements.

    Takes and raises what `encode_ext` does.
    """
    dtype, shape, raw = _dismantle(obj)
    return _header(dtype, shape), raw


def encode_json(obj: Any) -> dict[str, Any]:
    """Encode an array as a JSON object; takes and raises what `encode_ext` does."""
    dtype, shape, raw = _dismantle(obj)
    text = binascii.b2a_base64(raw, newline=False).decode("ascii")
    return {JSON_KEY: text, "dtype": dtype, "shape": list(shape)}


def decode_ext(code: int, data: memoryview, *, limit_bytes: int | None = None) -> Any:
    """Decode a MessagePack extension; bind `limit_bytes` to use it as msgspec's ext_hook.

    Returns an ndarray, without numpy a memoryview of the same format and shape. From
    VIEW_MIN_BYTES on it is a read-only view of `data`, possibly unaligned; below that it owns its
    bytes. Raises PayloadError for a payload that is not what its header says.
    """
    if code != EXT_CODE:
        raise PayloadError(f"unknown MessagePack extension {code}: only arrays ({EXT_CODE}) travel")
    dtype, shape, start = _read_header(data)
    return _assemble(dtype, shape, data[start:], limit_bytes)


def decode_json(obj: Mapping[str, Any], *, limit_bytes: int | None = None) -> Any:
    """Decode the JSON form, with the checks and the result of `decode_ext`."""
    if obj.keys() != {JSON_KEY, "dtype", "shape"}:
        raise PayloadError(f'an array is {{"{JSON_KEY}", "dtype", "shape"}}, not {sorted(obj)}')
    text, dtype, shape = obj[JSON_KEY], obj["dtype"], obj["shape"]
    if not (isinstance(text, str) and isinstance(dtype, str) and isinstance(shape, list | tuple)):
        raise PayloadError("an array's bytes and dtype are strings, its shape is a list")
    if not all(type(size) is int for size in shape):
        raise PayloadError(f"an array's shape is a list of integers, not {shape!r:.80}")
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise PayloadError(f"an array's bytes are not base64: {error}") from None
    return _assemble(dtype, tuple(shape), memoryview(raw), limit_bytes)


def restore(value: Any, path: str = "") -> Any:
    """Return decoded JSON with each array in place of its JSON form.

    Raises PayloadError with the path to a form that `decode_json` refuses.
    """
    if isinstance(value, list):
        return [restore(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if JSON_KEY not in value:
        return {key: restore(item, f"{path}.{key}") for key, item in value.items()}
    try:
        return decode_json(value)
    except PayloadError as error:
        raise PayloadError(f"{error} - at `${path}`", path=path) from error


def plain(obj: Any) -> Any:
    """Return the Python number of a numpy scalar; raise TypeError for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(obj, numpy.generic):
        raise TypeError(f"{type(obj).__module__}.{type(obj).__qualname__} cannot be encoded")
    return obj.item()


def enc_hook_msgpack(obj: Any) -> Any:
    """Encode what msgspec does not know: arrays and numpy scalars (enc_hook of its Encoder)."""
    if type(obj) is _known_class:
        header = _known_headers.get((obj.dtype, obj.shape))
        if header is not None:
            return msgspec.msgpack.Ext(EXT_CODE, header + obj.tobytes())
    return encode_ext(obj) if _is_array(obj) else plain(obj)


def enc_hook_json(obj: Any) -> Any:
    """Encode what msgspec does not know: arrays and numpy scalars (enc_hook of its Encoder)."""
    return encode_json(obj) if _is_array(obj) else plain(obj)


def dec_hook(expected: Any, obj: Any) -> Any:
    """Make the array that a field annotated np.ndarray or NDArray[...] asks for.

    Takes an array that arrived as one, its JSON form and (nested) lists of numbers. Lists become
    the annotated dtype; an array of another dtype is an error, since a cast might lose data.
    Raises ValueError, to which msgspec adds the path, and NotImplementedError for another type.
    """
    numpy = sys.modules.get("numpy")
    origin = get_origin(expected) or expected
    if numpy is None or origin is not numpy.ndarray:
        raise NotImplementedError(f"cannot decode fields of type {expected!r}")
    dtype = _annotated_dtype(expected)
    try:
        if isinstance(obj, Mapping):
            obj = decode_json(obj)
        elif isinstance(obj, Sequence) and not isinstance(obj, str | bytes | bytearray):
            obj = numpy.asarray(obj, dtype=_dtype_of_list(numpy, dtype))
    except (PayloadError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"not an array: {error}") from None
    if not isinstance(obj, numpy.ndarray) or obj.dtype.kind not in "biufc":
        raise ValueError(f"expected an array or a list of numbers, got {type(obj).__name__}")
    if dtype is not None and not numpy.issubdtype(obj.dtype, dtype):
        name = getattr(dtype, "__name__", str(dtype))
        raise ValueError(f"expected an array of {name}, got {obj.dtype}: convert it with .astype")
    return obj


def schema_hook(expected: Any) -> dict[str, Any]:
    """Return the JSON schema of an array field: its JSON form, or nested lists of numbers."""
    numpy = sys.modules.get("numpy")
    if numpy is None or (get_origin(expected) or expected) is not numpy.ndarray:
        raise NotImplementedError(f"no JSON schema for fields of type {expected!r}")
    properties = {
        JSON_KEY: {"type": "string", "contentEncoding": "base64"},
        "dtype": {"type": "string", "enum": list(_DTYPES)},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    }
    binary = {"type": "object", "properties": properties, "required": list(properties)}
    return {"anyOf": [binary, {"type": "array"}], "title": "array"}


@functools.cache
def _numpy() -> Any:
    """Return numpy, imported when the first array needs it, or None where it is not installed."""
    try:
        import numpy  # noqa: PLC0415 - importing openenv must stay light
    except ImportError:
        return None
    return numpy


# Most arrays of a server are alike, and small ones should not cost more than the step they come
# from: of what has been encoded once, dtype and shape say all there is to check.
_known_class: Any = object()  # numpy's, as soon as there is an array
_known_headers: dict[tuple[Any, tuple[int, ...]], bytes] = {}
_KNOWN_HEADERS_LIMIT = 256
_KNOWN_BYTES = 4096  # above this a second copy of the elements costs more than looking again


def _remember(obj: Any, header: bytes) -> None:
    """Know arrays like this one the next time."""
    global _known_class
    numpy = sys.modules.get("numpy")
    if (
        numpy is not None
        and type(obj) is numpy.ndarray
        and obj.nbytes <= _KNOWN_BYTES
        and obj.dtype.str[0] != ">"
        and len(_known_headers) < _KNOWN_HEADERS_LIMIT
    ):
        _known_class = numpy.ndarray
        _known_headers[obj.dtype, obj.shape] = header


def _is_array(obj: Any) -> bool:
    if isinstance(obj, memoryview | array.array):
        return True
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(obj, numpy.generic):
        return False  # a scalar: it has __array__ too, but travels as a number
    return hasattr(type(obj), "__array__")


def _dismantle(obj: Any) -> tuple[str, tuple[int, ...], Any]:
    """Return dtype, shape and a buffer of the elements in C order, little-endian."""
    source: Any
    if isinstance(obj, memoryview | array.array):
        source = memoryview(obj)
        dtype, contiguous = _memory_dtype(source), source.c_contiguous
    else:
        source = as_ndarray(obj)
        if source.dtype.byteorder == ">":
            source = source.astype(source.dtype.newbyteorder("<"))
        dtype, contiguous = source.dtype.str, source.flags.c_contiguous
    if dtype not in _DTYPES:
        raise PayloadError(
            f"an array of dtype {dtype} cannot travel: only booleans, integers, floats and complex "
            "numbers can. Convert it (.astype), or send a list (.tolist())"
        )
    if source.ndim > _MAX_DIMENSIONS:
        raise PayloadError(f"an array of {source.ndim} dimensions cannot travel: reshape it to 15")
    return dtype, source.shape, source if contiguous else source.tobytes()


def _memory_dtype(view: memoryview) -> str:
    kind = _KINDS.get(view.format.lstrip("@=" + _BYTE_ORDER))
    order = "|" if view.itemsize == 1 else _BYTE_ORDER
    return f"{order}{kind}{view.itemsize}" if kind else view.format


def as_ndarray(obj: Any) -> Any:
    """Return whatever is an array as numpy's. Raises PayloadError."""
    numpy = _numpy()
    if numpy is not None and type(obj) is numpy.ndarray:
        return obj
    if not hasattr(type(obj), "__array__"):
        raise TypeError(f"{type(obj).__module__}.{type(obj).__qualname__} is not an array")
    if numpy is None:
        raise PayloadError("arrays are encoded through numpy: pip install 'openenv[tensor]'")
    if isinstance(obj, numpy.ma.MaskedArray):
        raise PayloadError("a masked array would lose its mask: send .filled(value) instead")
    try:
        # A torch tensor with a gradient has to be detached from it before it is a mere array.
        return numpy.asarray(obj.detach() if hasattr(obj, "detach") else obj)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PayloadError(f"{type(obj).__qualname__} cannot become an array: {error}") from error


@functools.lru_cache(maxsize=256)
def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    return msgspec.msgpack.encode((dtype, shape))


def _read_header(data: memoryview) -> tuple[str, tuple[int, ...], int]:
    """Return dtype, shape and where the elements begin.

    By hand, because msgspec decodes whole messages only and nothing says where this one ends.
    """
    try:
        if data[0] != 0x92 or data[1] & 0xE0 != 0xA0:
            raise PayloadError("an array's header is [dtype, shape]")
        position = 2 + (data[1] & 0x1F)
        dtype = str(data[2:position], "ascii", "replace")
        if data[position] & 0xF0 != 0x90:
            raise PayloadError("an array's shape is a list of at most 15 sizes")
        dimensions = data[position] & 0x0F
        position += 1
        shape = []
        for _ in range(dimensions):
            size = data[position]
            position += 1
            if size > 0x7F:
                width = _UINT_BYTES.get(size)
                if width is None:
                    raise PayloadError("an array's sizes are unsigned integers")
                size = int.from_bytes(data[position : position + width], "big")
                position += width
            shape.append(size)
    except IndexError:
        raise PayloadError("an array's header is truncated") from None
    if position > len(data):
        raise PayloadError("an array's header is truncated")
    return dtype, tuple(shape), position


def _assemble(dtype: str, shape: tuple[int, ...], raw: memoryview, limit_bytes: int | None) -> Any:
    """Make the array of these elements, after checking that they are what is claimed."""
    size_bytes = _size_bytes(dtype, shape)
    if limit_bytes is not None and size_bytes > limit_bytes:
        raise PayloadError(f"an array of {size_bytes} bytes is over the limit of {limit_bytes}")
    if size_bytes != len(raw):
        raise PayloadError(
            f"an array of {dtype} and shape {list(shape)} has {size_bytes} bytes, not {len(raw)}"
        )
    # numpy's boolean operations are undefined for other values.
    if dtype == "|b1" and bytes(raw).translate(None, b"\x00\x01"):
        raise PayloadError("an array of booleans holds bytes other than 0 and 1")
    raw = raw.toreadonly() if size_bytes >= VIEW_MIN_BYTES else memoryview(bytearray(raw))
    numpy = _numpy()
    if numpy is not None:
        return numpy.frombuffer(raw, dtype).reshape(shape)
    itemsize, memory_format = _DTYPES[dtype]
    foreign = itemsize > 1 and _BYTE_ORDER == ">"
    if foreign or not memory_format or (size_bytes == 0 and len(shape) != 1):
        claim = f"an array of {dtype} and shape {list(shape)}"
        raise PayloadError(f"{claim} needs numpy: pip install 'openenv[tensor]'")
    flat: Any = raw  # typeshed wants the format as a literal
    return flat.cast(memory_format, shape) if size_bytes else flat.cast(memory_format)


@functools.lru_cache(maxsize=256)
def _size_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Return how many bytes such an array has, if such an array can be."""
    if dtype not in _DTYPES:
        raise PayloadError(f"unknown dtype {dtype!r:.40}: one of {', '.join(_DTYPES)}")
    itemsize = _DTYPES[dtype][0]
    # Empty dimensions count as one: numpy refuses (0, 2**62), although it holds nothing.
    extent_bytes = itemsize * math.prod(size or 1 for size in shape)
    if len(shape) > _MAX_DIMENSIONS or min(shape, default=0) < 0 or extent_bytes > sys.maxsize:
        raise PayloadError(f"no array has the shape {list(shape)!r:.80}")
    return itemsize * math.prod(shape)


def _annotated_dtype(expected: Any) -> Any:
    """Return float32 of NDArray[float32], None where the annotation leaves the dtype open."""
    dtype = next(iter(get_args(expected)[1:]), None)
    scalar = next(iter(get_args(dtype)), None)
    scalar = get_origin(scalar) or scalar
    return scalar if isinstance(scalar, type) else None


def _dtype_of_list(numpy: Any, annotated: Any) -> Any:
    """Return what the numbers of a list become; None lets numpy choose."""
    abstract = {numpy.floating: float, numpy.inexact: float, numpy.complexfloating: complex}
    concrete = annotated if annotated in numpy.sctypeDict.values() else None
    return abstract.get(annotated, concrete)
