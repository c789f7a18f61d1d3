"""Two sides of a link, over sockets that are cut anywhere: each frame arrives once, in order."""

from collections import deque
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from openenv.protocol import frames as f
from openenv.protocol.client import ClientProtocol
from openenv.protocol.server import ServerProtocol, read_hello
from openenv.protocol.wire import JSON, MSGPACK, Wire
from tests.protocol.links import TOKEN


class Model:
    """What a link promises, in one direction: whatever is sent arrives, once and in order."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.arrived: list[int] = []

    def send(self, count: int) -> list[int]:
        numbers = list(range(len(self.sent) + 1, len(self.sent) + 1 + count))
        self.sent += numbers
        return numbers

    def arrive(self, numbers: list[int]) -> None:
        self.arrived += numbers
        assert self.arrived == self.sent[: len(self.arrived)]


class Socket:
    """What is on its way in both directions; a side that has lost it neither reads nor writes."""

    def __init__(self) -> None:
        self.to_server: deque[Any] = deque()
        self.to_client: deque[Any] = deque()


class LossySockets(RuleBasedStateMachine):
    """The two sides need not agree on which socket is theirs, nor on whether they have one."""

    wire: Wire

    @initialize()
    def begin(self) -> None:
        self.client, self.server = ClientProtocol(self.wire), ServerProtocol(self.wire, TOKEN)
        self.requests, self.replies = Model(), Model()
        self.dialed: Socket | None = None
        self.client_socket: Socket | None = None
        self.server_socket: Socket | None = None
        self.dial()
        self.server_reads_hello()
        self.client_reads_hello()

    # ---- sending

    @rule(count=st.integers(1, 4), size=st.sampled_from([0, 10, 70_000]))
    def client_sends(self, count: int, size: int) -> None:
        numbers = self.requests.send(count)
        messages = self.client.send([f.Step(number, 1, "x" * size) for number in numbers])
        self.put(self.client_socket, "to_server", messages)

    @rule(count=st.integers(1, 4), size=st.sampled_from([0, 10, 70_000]))
    def server_sends(self, count: int, size: int) -> None:
        numbers = self.replies.send(count)
        messages = self.server.send([f.Result(number, "x" * size) for number in numbers])
        self.put(self.server_socket, "to_client", messages)

    @precondition(lambda self: self.client_socket)
    @rule()
    def client_acknowledges(self) -> None:
        self.put(self.client_socket, "to_server", [self.client.acknowledgement()])

    @precondition(lambda self: self.server_socket)
    @rule()
    def server_acknowledges(self) -> None:
        self.put(self.server_socket, "to_client", [self.server.acknowledgement()])

    # ---- reading

    @precondition(lambda self: self.server_socket and self.server_socket.to_server)
    @rule()
    def server_reads(self) -> None:
        received = self.server.receive(self.server_socket.to_server.popleft())
        self.requests.arrive([frame.id for frame in received])

    @precondition(lambda self: self.client_socket and self.client_socket.to_client)
    @rule()
    def client_reads(self) -> None:
        received = self.client.receive(self.client_socket.to_client.popleft())
        self.replies.arrive([frame.id for frame in received])

    # ---- losing

    @precondition(lambda self: self.client_socket)
    @rule(kept=st.integers(0, 3))
    def client_loses_its_socket(self, kept: int) -> None:
        self.cut(self.client_socket.to_server, kept)
        self.client_socket = None
        self.client.detach()

    @precondition(lambda self: self.server_socket)
    @rule(kept=st.integers(0, 3))
    def server_loses_its_socket(self, kept: int) -> None:
        self.cut(self.server_socket.to_client, kept)
        self.server_socket = None
        self.server.detach()

    @precondition(lambda self: self.dialed)
    @rule()
    def dialing_fails(self) -> None:
        self.dialed = None

    # ---- coming back

    @precondition(lambda self: self.client_socket is None and self.dialed is None)
    @rule()
    def dial(self) -> None:
        self.dialed = Socket()
        self.dialed.to_server.append(self.client.hello())

    @precondition(lambda self: self.dialed and self.dialed.to_server)
    @rule()
    def server_reads_hello(self) -> None:
        hello = read_hello(self.wire, self.dialed.to_server.popleft())
        assert hello.token is None or self.server.can_resume(self.wire, hello)
        self.dialed.to_client.extend(self.server.attach(hello))
        self.server_socket = self.dialed

    @precondition(lambda self: self.dialed and self.dialed.to_client)
    @rule()
    def client_reads_hello(self) -> None:
        missing = self.client.attach(self.dialed.to_client.popleft())
        assert missing is not None
        self.dialed.to_server.extend(missing)
        self.client_socket, self.dialed = self.dialed, None

    # ---- what holds

    @invariant()
    def what_has_arrived_is_not_kept_for_longer_than_it_takes_to_say_so(self) -> None:
        for one, other in ((self.client, self.server), (self.server, self.client)):
            assert one.link.acknowledged <= other.link.received <= one.link.sent

    def teardown(self) -> None:
        """Let the sockets live from now on: then everything arrives, and nothing is kept."""
        if not hasattr(self, "client"):
            return
        self.client.detach()
        self.dial()
        self.server_reads_hello()
        self.client_reads_hello()
        assert self.client_socket is self.server_socket is not None
        for acknowledge in (self.client_acknowledges, self.server_acknowledges, lambda: None):
            while self.client_socket.to_server:
                self.server_reads()
            while self.client_socket.to_client:
                self.client_reads()
            acknowledge()
        assert self.requests.arrived == self.requests.sent
        assert self.replies.arrived == self.replies.sent
        assert self.client.link.kept_bytes == self.server.link.kept_bytes == 0

    @staticmethod
    def put(socket: Socket | None, direction: str, messages: list[Any]) -> None:
        if socket is not None:
            getattr(socket, direction).extend(one for one in messages if one is not None)

    @staticmethod
    def cut(messages: deque[Any], kept: int) -> None:
        """Lose what is on its way, but for the first few, which may still be read."""
        while len(messages) > kept:
            messages.pop()


class MsgpackSockets(LossySockets):
    wire = MSGPACK


class JsonSockets(LossySockets):
    wire = JSON


# A counterexample takes a while to be made small.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sockets", [MsgpackSockets, JsonSockets])
def test_each_frame_arrives_once_and_in_order(sockets: type[LossySockets]) -> None:
    case = sockets.TestCase
    case.settings = settings(stateful_step_count=60)
    case().runTest()
