"""Peer: what both sides of openenv.v1 share: frames to messages and back, over a link.

client.py and server.py add their half of the handshake. Knows nothing of sessions; frames pass
through unread.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from openenv.errors import (
    LocalProtocolError,
    OpenEnvError,
    PayloadError,
    PayloadTooLarge,
    RemoteProtocolError,
)
from openenv.protocol.columns import halves
from openenv.protocol.frames import (
    BUFFER_BYTES,
    COALESCE_BYTES,
    MAX_MESSAGE_BYTES,
    MIN_MESSAGE_BYTES,
    VERSION,
    ClientHello,
    Frame,
    ServerHello,
)
from openenv.protocol.link import Data, Link, size_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.protocol.pieces import PiecesReader, PiecesWriter
    from openenv.protocol.wire import MessageDecoder, Wire


class LinkState(Enum):
    """Where a link stands. Sockets come and go between DETACHED and LIVE; ENDED is final."""

    DETACHED = "detached"
    LIVE = "live"
    ENDED = "ended"


TRANSITIONS: dict[tuple[LinkState, str], LinkState] = {
    (LinkState.DETACHED, "attach"): LinkState.LIVE,
    # A newer socket takes over from one whose loss was not noticed yet.
    (LinkState.LIVE, "attach"): LinkState.LIVE,
    (LinkState.LIVE, "detach"): LinkState.DETACHED,
    (LinkState.DETACHED, "detach"): LinkState.DETACHED,
    (LinkState.DETACHED, "end"): LinkState.ENDED,
    (LinkState.LIVE, "end"): LinkState.ENDED,
    (LinkState.ENDED, "end"): LinkState.ENDED,
    (LinkState.ENDED, "detach"): LinkState.ENDED,
}
"(state, what happens) -> state. What is not here is a LocalProtocolError."

_CHUNK_BYTES = COALESCE_BYTES * 3 // 4
"How much to encode at once; less than may share a message, because sizes are guessed from a mean."


def check_hello(hello: ClientHello | ServerHello) -> None:
    """Raise RemoteProtocolError for another version and for numbers that make no sense."""
    if hello.version != VERSION:
        raise RemoteProtocolError(
            f"the peer speaks version {hello.version} of the protocol, this side version {VERSION}"
        )
    if hello.received < 0 or hello.max_message_bytes < MIN_MESSAGE_BYTES:
        raise RemoteProtocolError(
            f"hello: received must be >= 0, max_message_bytes >= {MIN_MESSAGE_BYTES}"
        )


class Peer:
    """One side of a link. `send` and `receive` are pure: they neither read nor write a socket."""

    resumable = True

    def __init__(
        self,
        wire: Wire,
        decoder: MessageDecoder,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self.wire = wire
        self.encoding = wire.encoding
        self.link = Link(buffer_bytes)
        self.state = LinkState.DETACHED
        self.max_message_bytes = max_message_bytes
        "The largest message that this side takes."
        self.peer_max_message_bytes = MAX_MESSAGE_BYTES
        "The largest message that the peer takes; its hello says so."
        self.writer: PiecesWriter | None = None
        "Puts large arrays into memory that the peer reads, once both have agreed on that."
        self.reader: PiecesReader | None = None
        "Takes out what the peer has put there."
        self._decoder = decoder
        self.mean_frame_bytes = 128.0
        "How large a frame that was sent is, on a moving average."

    def receive(self, data: Data) -> Sequence[Any]:
        """Return the frames of a message, in order.

        Raises RemoteProtocolError when it is not one.
        """
        if self.state is not LinkState.LIVE:
            raise LocalProtocolError(f"a message was received on a link that is {self.state.value}")
        if (size := size_bytes(data)) > self.max_message_bytes:
            raise RemoteProtocolError(
                f"a message of {size} bytes, but at most {self.max_message_bytes} are taken"
            )
        if self.reader is not None:
            # Before the message counts as received: what has been acknowledged is overwritten.
            data = self.reader.join(data, self.max_message_bytes)
        acknowledgement, frames = self._decoder.decode(data)
        link = self.link
        if acknowledgement != link.acknowledged:
            link.take_acknowledgement(acknowledgement)
        if frames:
            link.received += 1
        return frames

    def send(self, frames: list[Any]) -> list[Data]:
        """Return the messages that carry the frames, in order."""
        waiting = list(frames)
        messages = self.send_first(waiting)
        while waiting:
            messages += self.send_first(waiting)
        return messages

    def send_first(self, frames: list[Any]) -> list[Data]:
        """Remove the first of the frames from the list; return the messages that carry them.

        One message, unless some of the frames cannot be sent: the caller can look in between
        whether the link is full, or the socket. Messages are kept until the peer acknowledges them.
        """
        if self.state is LinkState.ENDED:
            raise LocalProtocolError("the link has ended")
        messages: list[Data] = []
        size = max(1, int(_CHUNK_BYTES / self.mean_frame_bytes))
        if len(frames) <= size:
            first = frames.copy()
            frames.clear()
        else:
            first = frames[:size]
            del frames[:size]
        if first:
            self._add_message(messages, first, frames)
        return messages

    def acknowledgement(self) -> Data | None:
        """Return a message that only acknowledges, if one is owed.

        It is not numbered and need not arrive.
        """
        link = self.link
        return self.wire.encode((link.announce(), ())) if link.owes_acknowledgement else None

    def detach(self) -> None:
        """The socket is gone; what is sent from now on is kept for the next one."""
        self._move("detach")

    def end(self) -> None:
        """Give the link up for good."""
        self._move("end")

    def _attach(self, peer_max_message_bytes: int) -> None:
        self._move("attach")
        self.peer_max_message_bytes = peer_max_message_bytes
        # Whatever was announced on the old socket may be lost with it; the hello announces it anew.
        self.link.announced = self.link.received

    def _move(self, what: str) -> None:
        state = TRANSITIONS.get((self.state, what))
        if state is None:
            raise LocalProtocolError(f"cannot {what} a link that is {self.state.value}")
        self.state = state

    def _add_message(self, messages: list[Data], frames: list[Any], rest: list[Any]) -> None:
        """Add a message of the frames; those that make it too large go back before `rest`."""
        try:
            if self.writer is None:
                data = self.wire.encode((self.link.received, frames))
                size = kept_bytes = size_bytes(data)
            else:
                data, size = self.writer.encode((self.link.received, frames))
                kept_bytes = size_bytes(data)
        # A payload is a user's object: its encoding may raise anything.
        except Exception as error:  # noqa: BLE001
            if not self._add_half(messages, frames, rest):
                self._add_refusal(messages, frames[0], unencodable(frames[0], error))
            return
        count, limit = len(frames), self.peer_max_message_bytes
        self.mean_frame_bytes += (size / count - self.mean_frame_bytes) / 8
        if size > min(COALESCE_BYTES, limit) and self._add_half(messages, frames, rest):
            return
        if size > limit:
            self._add_refusal(messages, frames[0], _too_large(frames[0], size, limit))
            return
        self.link.announced = self.link.received
        self.link.keep(data, kept_bytes)
        messages.append(data)
        if size > COALESCE_BYTES:
            self._follow_large(messages)

    def _add_half(self, messages: list[Data], frames: list[Any], rest: list[Any]) -> bool:
        """Add a message of the first half; False if it is one frame that cannot be divided."""
        if len(frames) == 1:
            parts = halves(frames[0])
            if parts is None:
                return False
            first, second = [parts[0]], [parts[1]]
        else:
            middle = len(frames) // 2
            first, second = frames[:middle], frames[middle:]
        # The second half goes back first: if the first half is divided again, its part precedes.
        rest[:0] = second
        self._add_message(messages, first, rest)
        return True

    def _follow_large(self, messages: list[Data]) -> None:
        """Add what there is to say after a large message."""

    def _add_refusal(self, messages: list[Data], frame: Frame, error: OpenEnvError) -> None:
        """Say that a frame cannot be sent; how is the side's own affair."""
        raise NotImplementedError


def unencodable(frame: Frame, error: Exception) -> OpenEnvError:
    """Return what is wrong with a frame whose encoding raised this."""
    if isinstance(error, OpenEnvError):
        return error
    return PayloadError(f"the payload of a {type(frame).__name__} cannot be encoded: {error}")


def _too_large(frame: Frame, size: int, limit: int) -> OpenEnvError:
    name = type(frame).__name__
    return PayloadTooLarge(limit, f"a {name} of {size} bytes, but the other side takes {limit}")
