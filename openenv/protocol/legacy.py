"""The dialect of existing OpenEnv clients and servers, in terms of our frames.

One session per socket, no ids, no resume.
`{"type": ..., "data": ...}` as JSON text, one reply per request, strictly in order. Spoken when no
subprotocol was agreed on. LegacyServerProtocol and LegacyClientProtocol have the methods of
ServerProtocol and ClientProtocol that matter here, so that neither the session layer nor the client
knows which dialect is spoken.
"""

from __future__ import annotations

import json
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from openenv import arrays
from openenv.errors import TABLE, PayloadError, RemoteProtocolError, Unsupported, to_wire
from openenv.protocol import frames as f
from openenv.protocol.peer import LinkState
from openenv.protocol.result_object import ResultObject, reply_object
from openenv.protocol.wire import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.arrays import Encoding
    from openenv.protocol.link import Data

SESSION = 1
"The number of the one session that a legacy socket has."

_encoder = msgspec.json.Encoder(enc_hook=arrays.enc_hook_json)
_any = msgspec.json.Decoder()

_CODE_TO_LEGACY = {
    "PAYLOAD_ERROR": "VALIDATION_ERROR",
    "CAPACITY_REACHED": "CAPACITY_REACHED",
    "ENVIRONMENT_FACTORY_FAILED": "FACTORY_ERROR",
    "UNSUPPORTED": "UNKNOWN_TYPE",
    "SESSION_NOT_FOUND": "SESSION_ERROR",
    "SESSION_EXPIRED": "SESSION_ERROR",
    "SERVER_CLOSING": "SESSION_ERROR",
}
"Everything else is EXECUTION_ERROR there."

_LEGACY_TO_CODE = {
    "VALIDATION_ERROR": "PAYLOAD_ERROR",
    "CAPACITY_REACHED": "CAPACITY_REACHED",
    "FACTORY_ERROR": "ENVIRONMENT_FACTORY_FAILED",
    "EXECUTION_ERROR": "ENVIRONMENT_FAULT",
    "SESSION_ERROR": "SESSION_EXPIRED",
    "INVALID_JSON": "PROTOCOL_ERROR",
    "UNKNOWN_TYPE": "UNSUPPORTED",
}


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")


_envelope = msgspec.json.Decoder(_Envelope)


def _read(data: Data) -> _Envelope:
    """Decode a message. Raises UNREADABLE; ValidationError if it is JSON, but not an envelope."""
    if type(data) is not str:
        raise ValueError("binary, where this dialect carries text")
    try:
        return _envelope.decode(data)
    except msgspec.ValidationError:
        raise
    except ValueError:
        # Existing clients write bare NaN and Infinity, as Python's json does: make them strings.
        spelled = json.loads(data, parse_constant=str)
        return _envelope.decode(json.dumps(spelled, ensure_ascii=False))


class LegacyServerProtocol:
    """Server side. Requests of the socket get ids from 1.

    Their replies are sent without them, in the same order.
    """

    encoding: Encoding = "json"
    resumable = False

    def __init__(self) -> None:
        self._next_id = count(1).__next__
        self.state = LinkState.LIVE
        "Its link has one socket from beginning to end, so that it is never DETACHED."

    def detach(self) -> None:
        """The socket is gone, and the link with it."""
        self.state = LinkState.ENDED

    def end(self) -> None:
        """Give the link up for good."""
        self.state = LinkState.ENDED

    def open(self) -> f.Open:
        """Return the request that every legacy socket makes by connecting."""
        return f.Open(id=self._next_id(), session=SESSION)

    def receive(self, data: Data) -> Sequence[Any]:
        """Return the frame of a message.

        Never raises: what is illegal here is answered with an error.
        """
        try:
            envelope = _read(data)
        except msgspec.ValidationError as error:
            return [self._malformed(f"UNKNOWN_TYPE: a message is an object with a type: {error}")]
        except UNREADABLE as error:
            return [self._malformed(f"INVALID_JSON: {error}")]
        return [self._request(envelope)]

    def send(self, frames: list[Any]) -> list[Data]:
        """Return a text for each frame that has a form in this dialect."""
        return [text for frame in frames if (text := self._text(frame)) is not None]

    def send_first(self, frames: list[Any]) -> list[Data]:
        """Send all of them: here, few wait."""
        messages = self.send(frames)
        frames.clear()
        return messages

    def acknowledgement(self) -> None:
        """Return nothing: this dialect acknowledges no messages."""

    def _malformed(self, message: str) -> f.Malformed:
        return f.Malformed(self._next_id(), message)

    def _request(self, envelope: _Envelope) -> f.Request | f.Malformed:
        kind, request_id = envelope.type, self._next_id()
        if kind == "step":
            return f.Step(request_id, SESSION, envelope.data)
        if kind == "state":
            return f.GetState(request_id, SESSION)
        if kind == "close":
            return f.Close(request_id, SESSION)
        if kind != "reset":
            return f.Malformed(request_id, f"UNKNOWN_TYPE: unknown message type: {kind}")
        try:
            options = _any.decode(envelope.data)
        except UNREADABLE as error:
            return f.Malformed(request_id, f"VALIDATION_ERROR: the data of reset: {error}")
        if options is not None and not isinstance(options, dict):
            return f.Malformed(request_id, "VALIDATION_ERROR: the data of reset must be an object")
        return self._reset(request_id, options or {})

    def _reset(self, request_id: int, options: dict[str, Any]) -> f.Reset | f.Malformed:
        seed, episode_id = options.pop("seed", None), options.pop("episode_id", None)
        if not isinstance(seed, int | None) or not isinstance(episode_id, str | None):
            return f.Malformed(
                request_id,
                "VALIDATION_ERROR: seed must be an integer and episode_id a string, or null",
            )
        return f.Reset(request_id, SESSION, seed, episode_id, options or None)

    def _text(self, frame: f.Frame) -> str | None:
        try:
            message = _legacy_message(frame)
            return None if message is None else _encoder.encode(message).decode()
        # A payload is a user's object: its encoding may raise anything.
        except Exception as error:  # noqa: BLE001
            data = {"message": f"the reply cannot be encoded: {error}", "code": "EXECUTION_ERROR"}
            return _encoder.encode({"type": "error", "data": data}).decode()


def _legacy_message(frame: f.Frame) -> dict[str, Any] | None:
    if isinstance(frame, f.Result):
        return {"type": "observation", "data": reply_object(frame)}
    if isinstance(frame, f.StateReply):
        return {"type": "state", "data": frame.state}
    if isinstance(frame, f.Error):
        return {"type": "error", "data": _legacy_error(frame)}
    return None


def _legacy_error(frame: f.Error) -> dict[str, Any]:
    code, _, message = frame.message.partition(": ")
    if frame.code == "PROTOCOL_ERROR" and code in _LEGACY_TO_CODE:
        return {"message": message, "code": code}
    data: dict[str, Any] = {
        "message": frame.message,
        "code": _CODE_TO_LEGACY.get(frame.code, "EXECUTION_ERROR"),
    }
    details = frame.details or {}
    data.update(
        {
            name: details[name]
            for name in ("active_sessions", "max_sessions", "factory_name")
            if name in details
        }
    )
    if data["code"] == "VALIDATION_ERROR":
        location = _location(str(details.get("path", "")))
        data["errors"] = [{"type": "value_error", "loc": location, "msg": frame.message}]
    return data


def _location(path: str) -> list[str | int]:
    """Return `.moves[2].piece` as a list of keys and indices."""
    parts = path.replace("[", ".").replace("]", "").split(".")
    return [int(part) if part.isdecimal() else part for part in parts if part]


def _path(errors: Any) -> str | None:
    """Return where the first of the server's validation errors is, as `.moves[2].piece`."""
    try:
        location = errors[0]["loc"]
    except (LookupError, TypeError):
        return None
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts) if isinstance(location, list) else None


class LegacyClientProtocol:
    """Client side. Replies carry no ids: they belong to the oldest request that has none yet."""

    encoding: Encoding = "json"
    resumable = False
    token = None
    capabilities: Sequence[str] = ()

    def __init__(self) -> None:
        self.next_id = count(1).__next__
        self.next_session = count(SESSION).__next__
        self._waiting: deque[tuple[int, str]] = deque()
        self._local: list[f.ServerFrame] = []

    def send(self, frames: list[Any]) -> list[Data]:
        """Return a text for each request.

        What this dialect lacks is answered by `take_local_replies`.
        """
        return [text for frame in frames if (text := self._text(frame)) is not None]

    def send_first(self, frames: list[Any]) -> list[Data]:
        """Send all of them: here, few wait."""
        messages = self.send(frames)
        frames.clear()
        return messages

    def acknowledgement(self) -> None:
        """Return nothing: this dialect acknowledges no messages."""

    def receive(self, data: Data) -> Sequence[Any]:
        """Return the reply frame. Raises RemoteProtocolError for what is none."""
        try:
            envelope = _read(data)
        except UNREADABLE as error:
            raise RemoteProtocolError(
                f"the server sent something that is no legacy reply: {error}"
            ) from error
        if not self._waiting:
            # Nothing was asked: a server that is full says so of its own accord, and closes.
            return [self._error(0, envelope)] if envelope.type == "error" else []
        request_id, kind = self._waiting.popleft()
        return [self._reply(request_id, kind, envelope)]

    def take_local_replies(self) -> list[f.ServerFrame]:
        """Return the replies to what could not be sent, or did not need to be, and forget them."""
        local, self._local = self._local, []
        return local

    def _text(self, frame: f.Request | f.Cancel | f.Watch | f.Unwatch) -> str | None:
        if isinstance(frame, f.Open):
            self._local.append(f.Opened(frame.id, token=""))
            return None
        if isinstance(frame, f.Cancel):
            return None
        message = _legacy_request(frame)
        if message is None:
            unsupported = Unsupported(f"a legacy server does not know {type(frame).__name__}")
            self._local.append(f.Error(frame.id, *to_wire(unsupported)))
            return None
        try:
            text = _encoder.encode(message).decode()
        # A payload is a user's object: its encoding may raise anything.
        except Exception as error:  # noqa: BLE001
            self._local.append(
                f.Error(frame.id, *to_wire(PayloadError(f"the payload cannot be encoded: {error}")))
            )
            return None
        if isinstance(frame, f.Close):
            self._local.append(f.Closed(frame.id, SESSION))
        else:
            self._waiting.append(
                (frame.id, "state" if isinstance(frame, f.GetState) else "observation")
            )
        return text

    def _reply(self, request_id: int, kind: str, envelope: _Envelope) -> f.Reply:
        if envelope.type == "error":
            return self._error(request_id, envelope)
        if envelope.type != kind:
            raise RemoteProtocolError(f"the server sent {envelope.type!r} where {kind!r} is due")
        if kind == "state":
            return f.StateReply(request_id, envelope.data)
        try:
            data = _observation.decode(envelope.data)
        except UNREADABLE as error:
            raise RemoteProtocolError(
                f"the server sent an observation that is none: {error}"
            ) from error
        return data.to_result(request_id)

    def _error(self, request_id: int, envelope: _Envelope) -> f.Error:
        try:
            data = _any.decode(envelope.data)
        except UNREADABLE as error:
            raise RemoteProtocolError(f"the server sent an error that is none: {error}") from error
        details = data if isinstance(data, dict) else {"message": str(data)}
        message = str(details.pop("message", "the server reported an error"))
        legacy_code = str(details.pop("code", "EXECUTION_ERROR"))
        code = _LEGACY_TO_CODE.get(legacy_code, "ENVIRONMENT_FAULT")
        path = _path(details.get("errors"))
        if path is not None:
            details["path"] = path
        return f.Error(request_id, code, message, TABLE[code].retryable, details or None)


_observation = msgspec.json.Decoder(ResultObject)


def _legacy_request(frame: f.Frame) -> dict[str, Any] | None:
    if isinstance(frame, f.Step):
        return {"type": "step", "data": frame.action}
    if isinstance(frame, f.Reset):
        named = {"seed": frame.seed, "episode_id": frame.episode_id}
        given = {name: value for name, value in named.items() if value is not None}
        return {"type": "reset", "data": {**given, **(frame.options or {})}}
    if isinstance(frame, f.GetState):
        return {"type": "state"}
    if isinstance(frame, f.Close):
        return {"type": "close"}
    return None
