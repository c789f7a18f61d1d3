"""Exchanges over a link, played by both sides of the protocol in both encodings at once."""

from typing import Any

from openenv.protocol import frames as f
from openenv.protocol.client import ClientProtocol
from openenv.protocol.server import ServerProtocol, read_hello
from openenv.protocol.wire import JSON, MSGPACK


class Exchange:
    """One link in each encoding, and the list of what happens on it."""

    def __init__(self, token: str = "k3") -> None:
        self.clients = [ClientProtocol(wire) for wire in (JSON, MSGPACK)]
        self.servers = [self.new_server(wire, token) for wire in (JSON, MSGPACK)]
        self.events: list[dict[str, Any]] = []

    @staticmethod
    def new_server(wire: Any, token: str) -> ServerProtocol:
        return ServerProtocol(wire, token, keepalive_s=20.0, environment="EchoEnvironment")

    def connect(self) -> None:
        """A socket: both sides say hello, and send again what the other lacks."""
        self.events.append({"event": "connect"})
        hellos = [client.hello() for client in self.clients]
        self._record("hello", "client", hellos)
        greetings = [
            server.attach(read_hello(server.wire, hello))
            for server, hello in zip(self.servers, hellos, strict=True)
        ]
        self._record("hello", "server", [greeting[0] for greeting in greetings])
        missing = [
            client.attach(greeting[0])
            for client, greeting in zip(self.clients, greetings, strict=True)
        ]
        again = [greeting[1:] for greeting in greetings]
        for message in zip(*again, strict=True):
            self._deliver("server", list(message), arrives=True, again=True)
        if None in missing:
            self.events.append({"event": "the link and its sessions are lost"})
            return
        for message in zip(*[one or () for one in missing], strict=True):
            self._deliver("client", list(message), arrives=True, again=True)

    def say(self, side: str, *frames: f.Frame, arrives: bool = True) -> None:
        """One side sends frames in one message."""
        peers = self.clients if side == "client" else self.servers
        messages = [peer.send(list(frames)) for peer in peers]
        for message in zip(*messages, strict=True):
            self._deliver(side, list(message), arrives=arrives)

    def acknowledge(self, side: str) -> None:
        """One side sends a message without frames."""
        peers = self.clients if side == "client" else self.servers
        self._deliver(side, [peer.acknowledgement() for peer in peers], arrives=True)

    def cut(self) -> None:
        """The socket is lost."""
        self.events.append({"event": "cut"})
        for peer in (*self.clients, *self.servers):
            peer.detach()

    def count(self) -> None:
        """Record how far both sides have come."""
        self.events.append(
            {
                "event": "count",
                **{
                    side: {
                        "sent": peers[0].link.sent,
                        "received": peers[0].link.received,
                        "acknowledged": peers[0].link.acknowledged,
                    }
                    for side, peers in (("client", self.clients), ("server", self.servers))
                },
            }
        )

    def _deliver(
        self, side: str, messages: list[Any], *, arrives: bool, again: bool = False
    ) -> None:
        self._record("message", side, messages, arrives=arrives, again=again)
        if arrives:
            receivers = self.servers if side == "client" else self.clients
            for receiver, message in zip(receivers, messages, strict=True):
                receiver.receive(message)

    def _record(self, event: str, side: str, messages: list[Any], **more: Any) -> None:
        as_json, as_msgpack = messages
        self.events.append(
            {
                "event": event,
                "from": side,
                **more,
                "json": as_json,
                "msgpack": as_msgpack.hex(),
            }
        )


def hellos() -> dict[str, Any]:
    begin = Exchange()
    begin.connect()
    refused = [
        {
            "why": why,
            "from": side,
            "json": JSON.encode(array),
            "msgpack": MSGPACK.encode(array).hex(),
        }
        for why, side, array in (
            ("another version", "client", ["hello", 2]),
            ("another version", "server", ["hello", 2, "k3"]),
            ("a limit below 1024 bytes", "client", ["hello", 1, None, 0, 1023]),
            ("a limit below 1024 bytes", "server", ["hello", 1, "k3", False, 0, 1023]),
            ("a negative number", "client", ["hello", 1, "k3", -1]),
            ("a link that nobody began is resumed", "server", ["hello", 1, "k3", True]),
            ("messages on a link that is new", "server", ["hello", 1, "k3", False, 4]),
            ("another frame", "client", ["close", 1, 1]),
            ("a message instead of a hello", "client", [0, []]),
        )
    ]
    return {"begin a link": begin.events, "refused": refused}


def resumes() -> dict[str, Any]:
    return {
        "a cut loses a request and a reply": _cut_between(),
        "acknowledgements free what is kept": _acknowledged(),
        "a newer socket takes over before the loss of the older one is noticed": _fenced(),
        "the server no longer knows the link": _forgotten(),
    }


def _begun() -> Exchange:
    exchange = Exchange()
    exchange.connect()
    exchange.say("client", f.Open(1, 1), f.Reset(2, 1, 42))
    exchange.say("server", f.Opened(1, "s1"), f.Result(2, {"total": 42}))
    return exchange


def _cut_between() -> list[dict[str, Any]]:
    exchange = _begun()
    exchange.say("client", f.Step(3, 1, {"amount": 1}))
    exchange.say("server", f.Result(3, {"total": 43}, 1.0), arrives=False)
    exchange.say("client", f.Step(4, 1, {"amount": 2}), arrives=False)
    exchange.cut()
    exchange.count()
    exchange.connect()
    exchange.say("server", f.Result(4, {"total": 45}, 2.0))
    exchange.count()
    return exchange.events


def _acknowledged() -> list[dict[str, Any]]:
    exchange = _begun()
    exchange.count()
    exchange.acknowledge("client")
    exchange.count()
    return exchange.events


def _fenced() -> list[dict[str, Any]]:
    exchange = _begun()
    exchange.say("client", f.Step(3, 1, {"amount": 1}), arrives=False)
    exchange.connect()
    exchange.say("server", f.Result(3, {"total": 43}, 1.0))
    exchange.count()
    return exchange.events


def _forgotten() -> list[dict[str, Any]]:
    exchange = _begun()
    exchange.cut()
    exchange.servers = [exchange.new_server(wire, "k4") for wire in (JSON, MSGPACK)]
    exchange.connect()
    return exchange.events
