"""Links for tests: both sides of one, begun, resumed, and what travels between them."""

from collections.abc import Iterable
from typing import Any

import msgspec

from openenv.codec import decode_any
from openenv.protocol.client import ClientProtocol
from openenv.protocol.frames import Event
from openenv.protocol.link import Data
from openenv.protocol.server import ServerProtocol, read_hello
from openenv.protocol.wire import JSON, MSGPACK, Wire

BOTH = [MSGPACK, JSON]
TOKEN = "a-token"
PAYLOADS = ("action", "actions", "observation", "observations", "state", "payload", "data")


class Unencodable:
    """A payload that no encoding knows."""


def wire_name(wire: Wire) -> str:
    return wire.encoding


def begun(wire: Wire, **server_options: Any) -> tuple[ClientProtocol, ServerProtocol]:
    """Return the two sides of a link whose first socket has just said hello."""
    client, server = ClientProtocol(wire), ServerProtocol(wire, TOKEN, **server_options)
    assert reconnect(client, server) == ([], [])
    return client, server


def reconnect(client: ClientProtocol, server: ServerProtocol) -> tuple[list[Any], list[Any]]:
    """Exchange hellos and what either lacks; return the frames that (server, client) received."""
    hello = read_hello(server.wire, client.hello())
    greeting, *to_client = server.attach(hello)
    to_server = client.attach(greeting)
    assert to_server is not None
    return receive_all(server, to_server), receive_all(client, to_client)


def receive_all(receiver: Any, messages: Iterable[Data]) -> list[Any]:
    return [frame for message in messages for frame in receiver.receive(message)]


def plain(frame: Any, wire: Wire) -> Any:
    """Return a received frame with its payloads decoded, to be compared."""
    for name in PAYLOADS:
        if isinstance(value := getattr(frame, name, None), msgspec.Raw):
            setattr(frame, name, decode_any(value, wire.encoding))
    if isinstance(frame, Event):
        for summary in frame.sessions:
            plain(summary, wire)
    return frame
