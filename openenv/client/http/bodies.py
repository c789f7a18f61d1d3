"""HTTP bodies as a client sees them: requests to bytes, replies to frames, refusals to errors.

Knows nothing of connections; http_connection.py sends and repeats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from openenv import arrays
from openenv.errors import (
    TABLE,
    EnvironmentFault,
    OpenEnvError,
    PayloadError,
    RemoteProtocolError,
    TransportError,
    from_wire,
)
from openenv.protocol.result_object import ResultObject

if TYPE_CHECKING:
    import httpx

    from openenv.arrays import Encoding
    from openenv.protocol.frames import Result

SHOWN_CHARACTERS = 300
"How much of a reply that nobody understands is shown."

_GATEWAY = (502, 503, 504)


def _as_list(value: Any) -> Any:
    """Return an array as nested lists: what servers of the first release understand."""
    return value.tolist() if hasattr(value, "tolist") else arrays.enc_hook_json(value)


_ENCODERS: dict[Encoding, Any] = {
    "msgpack": msgspec.msgpack.Encoder(enc_hook=arrays.enc_hook_msgpack).encode,
    "json": msgspec.json.Encoder(enc_hook=_as_list).encode,
}
_RESULTS: dict[Encoding, Any] = {
    "msgpack": msgspec.msgpack.Decoder(ResultObject, ext_hook=arrays.decode_ext).decode,
    "json": msgspec.json.Decoder(ResultObject).decode,
}


def encode(content: Any, encoding: Encoding) -> bytes:
    """Return the body of a request. Raises PayloadError."""
    try:
        data: bytes = _ENCODERS[encoding](content)
    except OpenEnvError:
        raise
    except Exception as error:  # whatever converting a value of the caller may raise
        raise PayloadError(f"the request cannot be encoded: {error}") from error
    return data


def decode_result(request_id: int, data: bytes, encoding: Encoding) -> Result:
    """Return the reply to reset or step. Raises RemoteProtocolError."""
    try:
        body = _RESULTS[encoding](data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"the server sent a result that is none: {error}") from error
    result: Result = body.to_result(request_id)
    return result


def decode_token(response: httpx.Response) -> str:
    """Return the name of a session that was opened. Raises RemoteProtocolError."""
    token = _read(response).get("session_id")
    if not isinstance(token, str):
        raise RemoteProtocolError(f"the server opened no session: {_excerpt(response)}")
    return token


def error_of(response: httpx.Response) -> OpenEnvError:
    """Return what a refusal means: by its code, or, if it has none of ours, by its status."""
    content = _read(response)
    code = content.get("code")
    if isinstance(code, str) and code in TABLE:
        details = content.get("details")
        return from_wire(
            code, str(content.get("message")), details if isinstance(details, dict) else None
        )
    status, excerpt = response.status_code, _excerpt(response)
    if status == 422:
        return PayloadError(excerpt)
    if status in _GATEWAY:
        return TransportError(f"the server cannot be reached: {status}, {excerpt}")
    if status >= 500:
        return EnvironmentFault(f"the server failed: {status}, {excerpt}")
    return RemoteProtocolError(f"the server refused: {status}, {excerpt}")


def _read(response: httpx.Response) -> dict[str, Any]:
    is_msgpack = "msgpack" in response.headers.get("content-type", "")
    module: Any = msgspec.msgpack if is_msgpack else msgspec.json
    try:
        content = module.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _excerpt(response: httpx.Response) -> str:
    return response.text[:SHOWN_CHARACTERS]
