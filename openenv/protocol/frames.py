"""Every frame of openenv.v1 as a tagged struct, and the limits and close codes of the protocol.

Knows nothing of bytes (wire.py) or of order (client.py, server.py). docs/reference/protocol.md has
a section for each. Payloads (actions, observations, states) are kept as raw bytes when received:
codec.py decodes them where their class is known, so that one bad payload never harms its neighbours
in a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from openenv.arrays import VIEW_MIN_BYTES
from openenv.errors import RemoteProtocolError
from openenv.models import Reward

VERSION = 1

WATCH = "watch"
"The capability of a server whose sessions may be watched."

SUBPROTOCOL_MSGPACK = "openenv.v1.msgpack"
SUBPROTOCOL_JSON = "openenv.v1.json"

SESSION_HEADER = "X-OpenEnv-Session"
"The HTTP header that names a session by its token, where requests come one by one."

COALESCE_BYTES = VIEW_MIN_BYTES
"""Frames share a message up to this size, so that a large frame does not delay small replies.

An array that is read in place keeps its whole message in memory. So a frame that is large enough
to hold such an array has a message of its own."""

MAX_MESSAGE_BYTES = 100 * 1024 * 1024
MIN_MESSAGE_BYTES = 1024
"The smallest limit that a peer may set: an error frame must fit."

MAX_ID = 2**53 - 1
"The largest integer that every JSON reader keeps exact."

BUFFER_BYTES = 64 * 1024 * 1024
SHARED_MEMORY_BYTES = 64 * 1024 * 1024
GRACE_S = 60.0
ACK_DELAY_S = 0.1
MAX_FRAMES_PER_S = 30.0
"The most often that a spectator is sent changes."

CLOSE_NORMAL = 1000
CLOSE_GOING_AWAY = 1001
CLOSE_PROTOCOL_ERROR = 1002
CLOSE_RESTART = 1012
CLOSE_FENCED = 4001
"A newer socket has taken the link over."

if TYPE_CHECKING:
    Payload = Any
else:
    # Decoding keeps the bytes; encoding ignores annotations, so that any object may be sent.
    Payload = msgspec.Raw

RequestId = Annotated[int, msgspec.Meta(gt=0, le=MAX_ID)]
SessionNumber = Annotated[int, msgspec.Meta(gt=0, le=MAX_ID)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Timeout = Annotated[float, msgspec.Meta(gt=0)]


class Frame(msgspec.Struct, array_like=True, gc=False):
    """Base of all frames: an array whose first element names the frame."""


# ---- the client sends


class ClientHello(Frame, tag="hello"):
    """The first message on every socket.

    `token` and `received` resume a link, None and 0 begin one.
    """

    version: int = VERSION
    token: str | None = None
    received: int = 0
    max_message_bytes: int = MAX_MESSAGE_BYTES
    capabilities: list[str] = []


class Open(Frame, tag="open"):
    """Make a session, numbered by the client; or attach to the open one that `token` names."""

    id: RequestId
    session: SessionNumber
    wait_s: Seconds = 0.0
    label: str | None = None
    token: str | None = None


class Reset(Frame, tag="reset"):
    """Begin an episode."""

    id: RequestId
    session: SessionNumber
    seed: int | None = None
    episode_id: str | None = None
    options: dict[str, Any] | None = None


class Step(Frame, tag="step"):
    """Apply an action. With `stream`, partial observations are sent as they come."""

    id: RequestId
    session: SessionNumber
    action: Payload
    timeout_s: Timeout | None = None
    stream: bool = False


class Steps(Frame, tag="steps"):
    """Many steps, column by column: row i of each list belongs to step i.

    `actions` is an array with an action for each step. May only be sent to a server whose hello
    names it among its capabilities.
    """

    ids: list[RequestId]
    sessions: list[SessionNumber]
    actions: Payload
    timeout_s: Timeout | None = None


class GetState(Frame, tag="state"):
    """Ask for the episode's state."""

    id: RequestId
    session: SessionNumber


class Close(Frame, tag="close"):
    """End the session."""

    id: RequestId
    session: SessionNumber


class Cancel(Frame, tag="cancel"):
    """Give up the session's request of this id; there is no reply to a cancel."""

    id: RequestId
    session: SessionNumber


class Watch(Frame, tag="watch"):
    """Follow sessions as a spectator: those of a label, those of these public names, or all.

    May only be sent to a server whose hello names it among its capabilities.
    """

    id: RequestId
    label: str | None = None
    sessions: list[str] | None = None
    observations: bool = True
    frames_per_s: Timeout = MAX_FRAMES_PER_S


class Unwatch(Frame, tag="unwatch"):
    """Stop following; `watch` is the id of the request that began it."""

    id: RequestId
    watch: RequestId


class SegmentAnswer(Frame, tag="segment"):
    """Whether the client reads from the segment that the server has offered."""

    is_mapped: bool


# ---- the server sends


class ServerHello(Frame, tag="hello"):
    """The first message on every socket. `resumed` is False when a new link was begun."""

    version: int = VERSION
    token: str = ""
    resumed: bool = False
    received: int = 0
    max_message_bytes: int = MAX_MESSAGE_BYTES
    grace_s: Seconds = GRACE_S
    keepalive_s: float | None = None
    environment: str = ""
    capabilities: list[str] = []


class Opened(Frame, tag="opened"):
    """The session is open; `token` names it on every transport."""

    id: int
    token: str


class Result(Frame, tag="result"):
    """The reply to reset and step."""

    id: int
    observation: Payload
    reward: Reward = None
    done: bool = False
    truncated: bool = False
    metadata: dict[str, Any] | None = None


class Results(Frame, tag="results"):
    """Replies to steps of one `steps` frame, column by column; some may come in single frames.

    `observations` is an array with a payload for each reply.
    """

    ids: list[int]
    observations: Payload
    rewards: list[Reward]
    done: list[bool]
    truncated: list[bool]
    metadata: list[dict[str, Any] | None] | None = None


class Partial(Frame, tag="partial"):
    """An observation of a streaming step; the last one comes in a `result`."""

    id: int
    observation: Payload
    reward: Reward = None
    done: bool = False
    truncated: bool = False
    metadata: dict[str, Any] | None = None


class StateReply(Frame, tag="state"):
    """The reply to state."""

    id: int
    state: Payload


class Closed(Frame, tag="closed"):
    """The session has ended: the reply to close, or, with `id` 0, news that the server ended it."""

    id: int
    session: int
    reason: str = ""


class Error(Frame, tag="error"):
    """The reply to a request that failed; `id` 0 when no request can be named."""

    id: int
    code: str
    message: str
    retryable: bool = False
    details: dict[str, Any] | None = None


class Summary(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """The state of a session for spectators: an object; fields with their default are left out.

    `session` is its public name, which gives no right to act in it.
    """

    session: str
    environment: str
    label: str | None = None
    episode_id: str | None = None
    episode: int = 0
    step: int = 0
    reward: Reward = None
    total_reward: float | None = 0
    done: bool = False
    truncated: bool = False
    age_s: float = 0
    steps_per_s: float = 0
    action: Payload = None
    observation: Payload = None
    metadata: dict[str, Any] | None = None


class Event(Frame, tag="event"):
    """The sessions that have changed since the last event of a watch, and those that have ended."""

    id: int
    sessions: list[Summary] = []
    ended: list[str] = []


class SegmentOffer(Frame, tag="segment"):
    """Memory that a client on the same host can read: file `descriptor` of process `pid`.

    It begins with `nonce`: on another host the same numbers would name another file.
    """

    pid: int
    descriptor: int
    size_bytes: int
    nonce: bytes


ClientFrame = (
    Open | Reset | Step | Steps | GetState | Close | Cancel | Watch | Unwatch | SegmentAnswer
)
"What a message from a client may hold."

ServerFrame = (
    Opened | Result | Results | Partial | StateReply | Closed | Error | Event | SegmentOffer
)
"What a message from a server may hold."

Request = Open | Reset | Step | GetState | Close
"What a client asks of one session; the reply has the request's id."

Reply = Opened | Result | Partial | StateReply | Closed | Event | Error
"What answers a single request; Results answers many."


class Malformed(msgspec.Struct, gc=False):
    """In place of a frame that could not be decoded: the error that answers it.

    `id` is 0 if no request can be named.
    """

    id: int
    message: str
    code: str = RemoteProtocolError.code
