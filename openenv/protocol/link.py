"""Link: a logical connection that outlives its sockets; each message arrives once, in order.

Owns the numbers of messages, acknowledgements, and what must be sent again after a reconnect. Knows
nothing of what is in a message. wire.py puts the acknowledgement into the bytes; client.py and
server.py exchange the hellos.

Rules for this file: messages are numbered from 1 in each direction and the numbers are implicit
(both sides count), so whatever touches `sent` or `received` stands here. A message is kept until
the peer has acknowledged it.
"""

from __future__ import annotations

from collections import deque

from openenv.errors import RemoteProtocolError

Data = bytes | str


def size_bytes(message: Data) -> int:
    """Return how many bytes a message has on a socket, where text is UTF-8."""
    if type(message) is not str or message.isascii():
        return len(message)
    return len(message.encode("utf-8", "surrogatepass"))


class Link:
    """The state of one direction pair. `buffer_bytes` bounds what is kept for the peer."""

    __slots__ = (
        "_kept",
        "acknowledged",
        "announced",
        "buffer_bytes",
        "kept_bytes",
        "received",
        "sent",
    )

    def __init__(self, buffer_bytes: int) -> None:
        self.buffer_bytes = buffer_bytes
        self.sent = 0
        "Number of the last message sent."
        self.received = 0
        "Number of the last message received."
        self.acknowledged = 0
        "Number up to which the peer has said that it received ours."
        self.announced = 0
        "Number up to which we have told the peer that we received its messages."
        self.kept_bytes = 0
        self._kept: deque[tuple[Data, int]] = deque()
        "(message, its size), oldest first."

    @property
    def is_full(self) -> bool:
        """Whether more is kept for the peer than the bound.

        Stop producing until it acknowledges.
        """
        return self.kept_bytes > self.buffer_bytes

    @property
    def owes_acknowledgement(self) -> bool:
        """Whether messages have come in that no message of ours has acknowledged yet."""
        return self.announced < self.received

    def keep(self, message: Data, size: int) -> None:
        """Number a message that is about to be sent, and keep it until it is acknowledged.

        The caller has measured its size in bytes, and so it is measured once.
        """
        self.sent += 1
        self.kept_bytes += size
        self._kept.append((message, size))

    def take_acknowledgement(self, number: int) -> None:
        """Forget what the peer has received.

        Raises RemoteProtocolError for a number that was never sent.
        """
        if number > self.sent or number < 0:
            raise RemoteProtocolError(
                f"message {number} was acknowledged, but only {self.sent} were sent"
            )
        # Messages that are sent again carry the acknowledgement of their first time: an old number
        # is no error.
        while self.acknowledged < number:
            self.acknowledged += 1
            self.kept_bytes -= self._kept.popleft()[1]

    def announce(self) -> int:
        """Return the acknowledgement to put into the next message."""
        self.announced = self.received
        return self.received

    def can_resume(self, peer_received: int) -> bool:
        """Whether a peer that has received up to this number can be given all that it lacks."""
        return self.acknowledged <= peer_received <= self.sent

    def resume(self, peer_received: int) -> list[Data]:
        """Return the messages that the peer lacks, oldest first; they keep their numbers."""
        self.take_acknowledgement(peer_received)
        return [message for message, _ in self._kept]
