"""ClientProtocol: the client's half of the handshake, and the ids of its requests and sessions.

One instance per link. client/link/link.py has futures, deadlines and reconnecting.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from openenv.errors import OpenEnvError, RemoteProtocolError, to_wire
from openenv.protocol.columns import request_id
from openenv.protocol.frames import (
    BUFFER_BYTES,
    MAX_MESSAGE_BYTES,
    ClientHello,
    Error,
    Frame,
    ServerFrame,
    ServerHello,
)
from openenv.protocol.peer import Peer, check_hello
from openenv.protocol.pieces import SHARED_MEMORY
from openenv.protocol.wire import WIRES, Wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.protocol.link import Data


def _malformed_reply(request_id: int, message: str, _code: str) -> Error:
    """Return an error for the request whose reply cannot be read, so that it fails at once."""
    return Error(request_id, RemoteProtocolError.code, f"the reply cannot be read: {message}")


_DECODERS = {name: wire.decoder(ServerFrame, _malformed_reply) for name, wire in WIRES.items()}


class ClientProtocol(Peer):
    """The client's side of one link."""

    def __init__(
        self,
        wire: Wire,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        super().__init__(wire, _DECODERS[wire.subprotocol], max_message_bytes, buffer_bytes)
        self.token: str | None = None
        self.server = ServerHello()
        "The newest hello of the server."
        self.next_id = count(1).__next__
        "Allocate a request id."
        self.next_session = count(1).__next__
        "Allocate a session's number."
        self._refused: list[ServerFrame] = []

    @property
    def capabilities(self) -> Sequence[str]:
        """The capabilities in the server's hello."""
        return self.server.capabilities

    def hello(self) -> Data:
        """Return the first message for a new socket."""
        return self.wire.encode(
            ClientHello(
                token=self.token,
                received=self.link.received,
                max_message_bytes=self.max_message_bytes,
                capabilities=[SHARED_MEMORY] if self.encoding == "msgpack" else [],
            )
        )

    def attach(self, data: Data) -> list[Data] | None:
        """Read the server's hello; return the messages that the server has not received.

        None means that the server does not know the link: it has ended, and its sessions with it.
        Then begin a new one with a new ClientProtocol. Raises RemoteProtocolError.
        """
        hello: ServerHello = self.wire.decode_hello(data, ServerHello)
        check_hello(hello)
        if hello.resumed:
            if hello.token != self.token or not self.link.can_resume(hello.received):
                raise RemoteProtocolError("the server resumes a link that is not this one")
        elif self.token is not None:
            self.end()
            return None
        elif hello.received:
            raise RemoteProtocolError("the server has received messages on a link that is new")
        self._attach(hello.max_message_bytes)
        self.token = hello.token
        self.server = hello
        return self.link.resume(hello.received)

    def take_local_replies(self) -> list[ServerFrame]:
        """Return and clear the errors of requests that `send` could not encode."""
        refused, self._refused = self._refused, []
        return refused

    def _add_refusal(self, messages: list[Data], frame: Frame, error: OpenEnvError) -> None:
        self._refused.append(Error(request_id(frame), *to_wire(error)))
