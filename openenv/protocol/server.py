"""ServerProtocol: the server's half of the handshake; peer.py has what both sides share.

One instance per link. server/links/link.py holds the sessions and passes frames to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from openenv.errors import OpenEnvError, to_wire
from openenv.protocol.columns import STEPS, request_id
from openenv.protocol.frames import (
    BUFFER_BYTES,
    GRACE_S,
    MAX_MESSAGE_BYTES,
    WATCH,
    ClientFrame,
    ClientHello,
    Error,
    Frame,
    SegmentOffer,
    ServerHello,
)
from openenv.protocol.peer import LinkState, Peer, check_hello
from openenv.protocol.pieces import SHARED_MEMORY, PiecesWriter
from openenv.protocol.wire import WIRES, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from openenv.protocol.link import Data, Link

_DECODERS = {name: wire.decoder(ClientFrame) for name, wire in WIRES.items()}


def read_hello(wire: Wire, data: Data) -> ClientHello:
    """Decode a client's first message.

    Raises RemoteProtocolError, also for a version that is not ours.
    """
    hello: ClientHello = wire.decode_hello(data, ClientHello)
    check_hello(hello)
    return hello


def error_frame(request_id: int, error: OpenEnvError) -> Error:
    """Return the one translation of an exception to the wire."""
    return Error(request_id, *to_wire(error))


class OfferedSegment(PiecesWriter, Protocol):
    """Shared memory that the server offers to one client."""

    @property
    def offer(self) -> SegmentOffer:
        """The frame that tells the client how to map the memory."""

    def close(self) -> None:
        """Close the server's side; the kernel frees the memory when the client unmaps it, too."""


class ServerProtocol(Peer):
    """The server's side of one link; `token` is a secret that only its client knows."""

    def __init__(
        self,
        wire: Wire,
        token: str,
        *,
        grace_s: float = GRACE_S,
        keepalive_s: float | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
        environment: str = "",
        allows_watch: bool = False,
        make_segment: Callable[[Link], OfferedSegment | None] | None = None,
    ) -> None:
        super().__init__(wire, _DECODERS[wire.subprotocol], max_message_bytes, buffer_bytes)
        self.token = token
        self.grace_s = grace_s
        self.keepalive_s = keepalive_s
        self.environment = environment
        self.capabilities = [STEPS, WATCH] if allows_watch else [STEPS]
        self._make_segment = make_segment
        "Makes shared memory; None if the client cannot map it, or if it has been made."
        self._segment: OfferedSegment | None = None
        "The memory that was offered to the client; None if the client has declined."

    def can_resume(self, wire: Wire, hello: ClientHello) -> bool:
        """Whether this link can go on, on a new socket with this wire and hello."""
        return (
            self.state is not LinkState.ENDED
            and wire is self.wire
            and hello.token == self.token
            and self.link.can_resume(hello.received)
        )

    def attach(self, hello: ClientHello) -> list[Data]:
        """Attach a socket whose client has sent this hello.

        Return what to send first: our hello, and the messages that the client has not received.
        """
        resumed = hello.token == self.token
        self._attach(hello.max_message_bytes)
        if SHARED_MEMORY not in hello.capabilities:
            self._make_segment = None
        reply = ServerHello(
            token=self.token,
            resumed=resumed,
            received=self.link.received,
            max_message_bytes=self.max_message_bytes,
            grace_s=self.grace_s,
            keepalive_s=self.keepalive_s,
            environment=self.environment,
            capabilities=self.capabilities,
        )
        return [self.wire.encode(reply), *(self.link.resume(hello.received) if resumed else ())]

    def take_answer(self, *, is_mapped: bool) -> None:
        """Use the offered segment if the client has mapped it, else close it for good."""
        if is_mapped:
            self.writer = self._segment
        elif self.writer is None:
            self._close_segment()

    def end(self) -> None:
        """End the link, and close the memory that its client reads."""
        super().end()
        self.writer = self._make_segment = None
        self._close_segment()

    def _close_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()

    def _follow_large(self, messages: list[Data]) -> None:
        """Offer shared memory after the first message that would have been smaller with it."""
        make, self._make_segment = self._make_segment, None
        if make is not None and (segment := make(self.link)) is not None:
            self._segment = segment
            self._add_message(messages, [segment.offer], [])

    def _add_refusal(self, messages: list[Data], frame: Frame, error: OpenEnvError) -> None:
        # An error frame is small and holds plain data, so sending it cannot fail again.
        self._add_message(messages, [Error(request_id(frame), *to_wire(error))], [])
