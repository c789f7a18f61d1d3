"""Writes the test vectors: `python -m tests.vectors.generate`, from the root of the checkout.

README.md says what is in them. Everything is made by the protocol itself; what the protocol must
make of it is checked by tests/protocol/test_vectors.py.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from openenv import arrays, errors
from openenv.protocol import frames as f
from openenv.protocol.legacy import LegacyServerProtocol
from openenv.protocol.wire import JSON, MSGPACK
from tests.vectors import samples
from tests.vectors.scenarios import hellos, resumes

FOLDER = Path(__file__).parent


def encoded(value: Any) -> dict[str, str]:
    """Return a value in both encodings: JSON text, and MessagePack in hexadecimal."""
    return {"json": str(JSON.encode(value)), "msgpack": bytes(MSGPACK.encode(value)).hex()}


def plain(value: Any) -> Any:
    """Return a value as JSON data."""
    return json.loads(JSON.encode(value))


# ---------------------------------------------------------------- frames.json


def frames() -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "from": side,
            "frame": frame.__struct_config__.tag,
            "fields": dict(zip(frame.__struct_fields__, plain(frame)[1:], strict=True)),
            **encoded(frame),
        }
        for side, group in (
            ("client", samples.CLIENT_HELLOS | samples.CLIENT_FRAMES),
            ("server", samples.SERVER_HELLOS | samples.SERVER_FRAMES),
        )
        for name, frame in group.items()
    ]


# ---------------------------------------------------------------- messages.json


GOOD = ["close", 7, 1]


def messages() -> dict[str, Any]:
    read = [
        _read("a message without frames only acknowledges", "client", 12, []),
        _read("many frames", "client", 3, list(samples.CLIENT_FRAMES.values())[:6]),
        _read("many replies", "server", 4, list(samples.SERVER_FRAMES.values())[:6]),
        _read("a later version's trailing elements are ignored", "client", 0, [[*GOOD, "new", {}]]),
        _read("trailing defaults may be left out", "client", 0, [["step", 6, 1, {"x": 1}]]),
        _malformed("a frame of a later version", ["dance", 5, 1], 5, "UNSUPPORTED"),
        _malformed("a frame of a later version without an id", ["dance", "5"], 0),
        _malformed("a field of the wrong type", ["reset", 5, 1, "a seed"], 5),
        _malformed("a field that is missing", ["step", 5, 1], 5),
        _malformed("a number outside its limits", ["step", 5, 1, {}, -1.0], 5),
        _malformed("an id that is too large", ["close", f.MAX_ID + 1, 1], 0),
        _malformed("an id that is none", ["close", "5", 1], 0),
        _malformed("no array", {"close": 5}, 0),
    ]
    broken: list[Any] = [[], [0], [0, [], []], ["0", []], [0.5, []], {"acknowledgement": 0}, None]
    return {
        "read": read,
        "broken": [
            *[encoded(value) for value in broken],
            {"json": "[0, [", "msgpack": "9200"},
            {"json": "[0, []] []", "msgpack": "92009000"},
            {"json": "", "msgpack": ""},
        ],
    }


def _read(name: str, side: str, acknowledgement: int, content: list[Any]) -> dict[str, Any]:
    message = (acknowledgement, content)
    return {
        "name": name,
        "from": side,
        "acknowledgement": acknowledgement,
        "frames": [{"frame": plain(frame)} for frame in content],
        **encoded(message),
    }


def _malformed(
    name: str, frame: Any, guessed_id: int, code: str = "PROTOCOL_ERROR"
) -> dict[str, Any]:
    """A frame that is none between two that are."""
    vector = _read(name, "client", 0, [GOOD, frame, GOOD])
    vector["frames"][1] = {"malformed": True, "id": guessed_id, "code": code}
    return vector


# ---------------------------------------------------------------- arrays.json


ELEMENTS = {"b": [0, 1, 1, 0], "u": [0, 1, 2, 200], "i": [-1, 0, 1, 100], "f": [-0.5, 0, 1, 1e4]}


def _array(dtype: str, shape: list[int]) -> dict[str, Any]:
    elements: Any = ELEMENTS.get(np.dtype(dtype).kind, [1, 2j, -1 + 0.5j, 0])
    array = np.resize(np.array(elements), shape).astype(dtype)
    return {"dtype": dtype, "shape": shape, "bytes": array.tobytes().hex(), **encoded(array)}


def _lie(name: str, dtype: str, shape: Any, raw: bytes) -> dict[str, Any]:
    header = msgspec.msgpack.encode([dtype, shape])
    extension = msgspec.msgpack.Ext(arrays.EXT_CODE, header + raw)
    text = msgspec.json.encode({"__array__": raw, "dtype": dtype, "shape": shape}).decode()
    return {"name": name, "json": text, "msgpack": msgspec.msgpack.encode(extension).hex()}


def array_vectors() -> dict[str, Any]:
    # The table of dtypes is what the specification names.
    dtypes = arrays._DTYPES
    return {
        "extension": arrays.EXT_CODE,
        "arrays": [
            *[_array(dtype, [2, 2]) for dtype in dtypes],
            *[_array("<f4", shape) for shape in ([], [0], [3, 0, 2], [300], [1, 1, 1, 1])],
        ],
        "refused": [
            _lie("fewer bytes than the shape says", "<f4", [2], b"1234"),
            _lie("more bytes than the shape says", "|u1", [2], b"123"),
            _lie("an unknown dtype", "<M8[ns]", [1], b"12345678"),
            _lie("objects", "|O", [1], b"12345678"),
            _lie("big-endian", ">f4", [1], b"1234"),
            _lie("a negative size", "|u1", [-1], b""),
            _lie("a shape that is no list", "|u1", 3, b"123"),
            _lie("sixteen dimensions", "|u1", [1] * 16, b"1"),
            _lie("booleans other than 0 and 1", "|b1", [2], b"\x01\x02"),
        ],
    }


# ---------------------------------------------------------------- errors.json


DETAILS: dict[str, Any] = {
    "sent": 3,
    "received": 2,
    "resumable": True,
    "session_id": "s1",
    "active_sessions": 4,
    "max_sessions": 4,
    "retry_after_s": 1.0,
    "reason": "idle for too long",
    "path": ".moves[2].piece",
    "limit_bytes": 1024,
    "remote_type": "KeyError",
    "traceback": "Traceback ...",
    "factory_name": "EchoEnvironment",
    "timeout_s": 2.5,
    "environment_name": "EchoEnvironment",
    "max_concurrent_envs": 8,
    "last_lines": "listening",
    "exit_code": 137,
    "out_of_memory": True,
}


def error_vectors() -> list[dict[str, Any]]:
    return [
        {
            "code": code,
            "http_status": cls.http_status,
            "retryable": cls.retryable,
            "details": {name: DETAILS.get(name, name) for name in cls.fields},
            **encoded(f.Error(6, *errors.to_wire(_raised(cls)))),
        }
        for code, cls in sorted(errors.TABLE.items())
    ]


def _raised(cls: Any) -> errors.OpenEnvError:
    error: errors.OpenEnvError = cls(
        message="what happened", **{name: DETAILS.get(name, name) for name in cls.fields}
    )
    return error


# ---------------------------------------------------------------- legacy.json


def _answered(name: str, request: str, reply: f.Frame | None) -> dict[str, Any]:
    server = LegacyServerProtocol()
    [asked] = server.receive(request)
    replies = server.send([reply] if reply is not None else [])
    return {
        "name": name,
        "request": request,
        "frame": plain(asked),
        "reply_frame": plain(reply) if reply is not None else None,
        "reply": replies[0] if replies else None,
    }


def _refused(request: str) -> dict[str, Any]:
    server = LegacyServerProtocol()
    [malformed] = server.receive(request)
    [reply] = server.send([f.Error(malformed.id, "PROTOCOL_ERROR", malformed.message)])
    return {"request": request, "code": json.loads(reply)["data"]["code"]}


def legacy() -> dict[str, Any]:
    result = f.Result(1, {"total": 3}, 1.5, False)
    full = errors.SessionCapacityError(2, 2, 1.0, "all slots are taken")
    invalid = errors.PayloadError("expected an integer", ".moves[2].piece")
    return {
        "answered": [
            _answered("reset", '{"type":"reset"}', f.Result(1, {"total": 0})),
            _answered("reset with options", '{"type":"reset","data":{"seed":3,"size":4}}', result),
            _answered("step", '{"type":"step","data":{"amount":3}}', result),
            _answered(
                "a step that truncates",
                '{"type":"step","data":{"amount":3}}',
                f.Result(1, {}, float("nan"), False, True, {"lives": 3}),
            ),
            _answered(
                "NaN, as Python's json writes it", '{"type":"step","data":{"x":NaN}}', result
            ),
            _answered("state", '{"type":"state"}', f.StateReply(1, {"step_count": 1})),
            _answered("close", '{"type":"close"}', f.Closed(1, 1, "closed")),
            _answered(
                "no slot: the first reply, unasked, or to whatever is asked first",
                '{"type":"reset"}',
                f.Error(1, *errors.to_wire(full)),
            ),
            _answered(
                "an action that does not match its schema",
                '{"type":"step","data":{"moves":[]}}',
                f.Error(1, *errors.to_wire(invalid)),
            ),
            _answered(
                "the environment raised",
                '{"type":"step","data":{}}',
                f.Error(1, *errors.to_wire(errors.EnvironmentFault("out of fuel", "FuelError"))),
            ),
        ],
        "refused": [
            _refused(text)
            for text in (
                "{not json",
                "[]",
                "{}",
                '{"type":"dance"}',
                '{"type":"reset","data":[1]}',
                '{"type":"reset","data":{"seed":"abc"}}',
            )
        ],
    }


FILES: dict[str, Callable[[], Any]] = {
    "frames.json": frames,
    "messages.json": messages,
    "hello.json": hellos,
    "resume.json": resumes,
    "arrays.json": array_vectors,
    "errors.json": error_vectors,
    "legacy.json": legacy,
}


def text_of(name: str) -> str:
    """Return what a file of vectors has to hold: JSON, with a line for each vector."""
    content = FILES[name]()
    if isinstance(content, list):
        return _lines(content) + "\n"
    groups = [
        f"{json.dumps(key)}: {_lines(value) if isinstance(value, list) else json.dumps(value)}"
        for key, value in content.items()
    ]
    return "{\n" + ",\n".join(groups) + "\n}\n"


def _lines(vectors: list[Any]) -> str:
    return "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in vectors) + "\n]"


if __name__ == "__main__":
    for file_name in FILES:
        (FOLDER / file_name).write_text(text_of(file_name), encoding="utf-8")
