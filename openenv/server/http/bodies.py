"""HTTP bodies: request bytes to structs, and reply frames and errors to responses.

Owns media types, the bodies of requests, and how an error looks over HTTP. Knows nothing of
sessions, which sessions.py finds.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from starlette.responses import Response

from openenv import arrays
from openenv.errors import (
    EnvironmentFault,
    OpenEnvError,
    PayloadError,
    PayloadTooLarge,
    RemoteProtocolError,
    from_wire,
)
from openenv.protocol.frames import Error, Result, StateReply
from openenv.protocol.result_object import reply_object

if TYPE_CHECKING:
    from starlette.requests import Request

    from openenv.arrays import Encoding
    from openenv.server.ports import Reply

JSON = "application/json"
MSGPACK = "application/msgpack"

_ENCODINGS: dict[str, Encoding] = {
    JSON: "json",
    MSGPACK: "msgpack",
    "application/x-msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
}
_MEDIA_TYPES: dict[Encoding, str] = {"json": JSON, "msgpack": MSGPACK}
_ENCODERS: dict[Encoding, Any] = {
    # NaN and the infinities become null: JSON has no such numbers.
    "json": msgspec.json.Encoder(enc_hook=arrays.enc_hook_json).encode,
    "msgpack": msgspec.msgpack.Encoder(enc_hook=arrays.enc_hook_msgpack).encode,
}
_DECODERS: dict[Encoding, Any] = {
    "json": msgspec.json.decode,
    "msgpack": msgspec.msgpack.Decoder(ext_hook=arrays.decode_ext).decode,
}

SHOWN_INPUT_BYTES = 4096
"A 422 response repeats the wrong value if the body is at most this long."

_MISSING = re.compile(r"missing required field `([^`]+)`")
_PATH = re.compile(r" - at `\$(.*)`$")
_PATH_PARTS = re.compile(r"[^.\[\]]+")


class StepBody(msgspec.Struct):
    """POST /step. The action stays raw: its class decodes it where the step runs."""

    action: msgspec.Raw
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    request_id: Annotated[str, msgspec.Meta(max_length=255)] | None = None


class ResetBody(msgspec.Struct):
    """POST /reset. Every further key is an option of the environment's reset."""

    seed: int | None = None
    episode_id: str | None = None


class OpenBody(msgspec.Struct):
    """POST /sessions; with `session_id`, find the open session with this token."""

    label: str | None = None
    wait_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    session_id: str | None = None


class Body(NamedTuple):
    """The bytes of a request, and their encoding."""

    data: bytes
    encoding: Encoding

    def decode(self, cls: type) -> Any:
        """Return the body as this class; an empty one counts as {}. Raises PayloadError."""
        decoder = _decoder(cls, self.encoding)
        try:
            return decoder.decode(self.data or _ENCODERS[self.encoding]({}))
        except msgspec.ValidationError as error:
            path = _PATH.search(str(error))
            raise PayloadError(str(error), path=path.group(1) if path else "") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            media_type = _MEDIA_TYPES[self.encoding]
            raise RemoteProtocolError(f"the body is not {media_type}: {error}") from error

    def options(self) -> dict[str, Any]:
        """Return the keys of a reset that are the environment's own."""
        known = ResetBody.__struct_fields__
        content = _DECODERS[self.encoding](self.data) if self.data else {}
        return {name: value for name, value in content.items() if name not in known}

    def find(self, location: list[str | int]) -> object:
        """Return the value at a path, or the innermost value around it; None for large bodies."""
        if not self.data or len(self.data) > SHOWN_INPUT_BYTES:
            return None
        try:
            value = _DECODERS[self.encoding](self.data)
        except (msgspec.DecodeError, UnicodeDecodeError, PayloadError):
            return None
        for part in location:
            try:
                value = value[part]
            except (LookupError, TypeError):
                break
        return value


@functools.cache
def _decoder(cls: type, encoding: Encoding) -> Any:
    module: Any = msgspec.json if encoding == "json" else msgspec.msgpack
    return module.Decoder(cls)


async def read_body(request: Request, limit_bytes: int) -> Body:
    """Read a request's body. Raises PayloadTooLarge, RemoteProtocolError for other media types."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit_bytes:
        raise PayloadTooLarge(limit_bytes)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit_bytes:
            raise PayloadTooLarge(limit_bytes)
    encoding = _ENCODINGS.get(media_type or JSON)
    if encoding is None and data:
        raise RemoteProtocolError(f"a body must be {JSON} or {MSGPACK}, not {media_type}")
    return Body(bytes(data), encoding or "json")


def reply_encoding(request: Request) -> Encoding:
    """Return the encoding that the Accept header prefers; JSON unless it names another."""
    best: Encoding = "json"
    best_quality = 0.0
    for offer in request.headers.get("accept", "").split(","):
        media_type, _, parameters = offer.partition(";")
        encoding = _ENCODINGS.get(media_type.strip().lower())
        quality = _quality(parameters)
        if encoding is not None and quality > best_quality:
            best, best_quality = encoding, quality
    return best


def respond(content: object, encoding: Encoding, status: int = 200) -> Response:
    """Return a response with this content. Raises EnvironmentFault if it cannot be encoded."""
    try:
        data = _ENCODERS[encoding](content)
    except Exception as error:  # converting a value of the environment may raise anything
        raise EnvironmentFault(
            f"the reply cannot be encoded: {error}", type(error).__name__
        ) from error
    return Response(data, status, media_type=_MEDIA_TYPES[encoding])


def respond_frame(frame: Reply, encoding: Encoding, body: Body) -> Response:
    """Return a session's reply as a response."""
    if type(frame) is Error:
        error = from_wire(frame.code, frame.message, frame.details)
        # As existing servers do, give the location relative to the action.
        return respond_error(error, encoding, body, within="action")
    if type(frame) is Result:
        return respond(reply_object(frame), encoding)
    assert type(frame) is StateReply
    return respond(frame.state, encoding)


def respond_error(
    error: OpenEnvError, encoding: Encoding, body: Body | None = None, within: str = "body"
) -> Response:
    """Return an error as a response."""
    content: dict[str, Any] = {
        "code": error.code,
        "message": str(error),
        "details": error.details or None,
    }
    if error.http_status == 422:
        content["detail"] = [_validation_detail(error, body, within)]
    response = respond(content, encoding, error.http_status)
    if error.http_status in (429, 503):
        seconds = math.ceil(getattr(error, "retry_after_s", None) or 1)
        response.headers["retry-after"] = str(seconds)
    return response


async def respond_http_exception(request: Request, error: Any) -> Response:
    """Return Starlette's own errors (404, 405) in the same form as ours."""
    content = {"code": RemoteProtocolError.code, "message": error.detail, "detail": error.detail}
    response = respond(content, reply_encoding(request), error.status_code)
    response.headers.update(error.headers or {})
    return response


def _validation_detail(error: OpenEnvError, body: Body | None, within: str) -> dict[str, Any]:
    """Return an item of FastAPI's `detail` list."""
    path: list[str | int] = [
        int(part) if part.isdecimal() else part
        for part in _PATH_PARTS.findall(getattr(error, "path", ""))
    ]
    missing = _MISSING.search(str(error))
    if missing is not None:
        path.append(missing.group(1))
    prefix: list[str | int] = [within]
    return {
        "type": "missing" if missing else "value_error",
        "loc": prefix + path if within == "body" else path,
        "msg": str(error),
        "input": body and body.find(path if within == "body" else prefix + path),
    }


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
