"""SegmentReader: the client's end of memory that a server on the same host shares with it.

Knows how to find and map it, and to be sure that it is the right one. What a message looks like
whose arrays lie there is protocol/pieces.py's affair; server/links/segment.py has the other end.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import TYPE_CHECKING

from openenv.protocol import pieces
from openenv.protocol.frames import SegmentAnswer, SegmentOffer

if TYPE_CHECKING:
    from openenv.protocol.client import ClientProtocol
    from openenv.protocol.link import Data

if sys.platform == "linux":
    import fcntl


class SegmentReader:
    """Reads messages whose arrays lie in a segment, which is unmapped with the last reference.

    Everything is copied out: what users get stays as it is.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory

    def join(self, data: Data, limit_bytes: int) -> Data:
        """Return a message in one. Raises RemoteProtocolError for places that are not there."""
        return pieces.join(data, self._memory, limit_bytes)


def answer_offer(protocol: ClientProtocol, offer: SegmentOffer) -> SegmentAnswer:
    """Read from what a server offers from now on, if it can be read here."""
    memory = _map(offer)
    if memory is not None:
        protocol.reader = SegmentReader(memory)
    return SegmentAnswer(memory is not None)


def _map(offer: SegmentOffer) -> memoryview | None:
    """Return the memory of a segment, read-only; None if it is not to be had, whatever the reason.

    Most often the server runs on another host, in another container or as another user: then the
    process of that number is another one, if there is any.
    """
    if sys.platform != "linux" or len(offer.nonce) != pieces.NONCE_BYTES:
        return None
    path = f"/proc/{offer.pid}/fd/{offer.descriptor}"
    try:
        # Opening a file can do things, so that no other is opened at a stranger's word.
        if os.readlink(path) != f"/memfd:{pieces.SEGMENT_NAME} (deleted)":
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Of a file that can be made shorter the end may be missing when it is read: a signal that
        # ends the process.
        is_fixed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
        if not is_fixed or os.fstat(descriptor).st_size != offer.size_bytes:
            return None
        memory = memoryview(mmap.mmap(descriptor, offer.size_bytes, access=mmap.ACCESS_READ))
    except (OSError, ValueError, OverflowError):
        return None
    finally:
        os.close(descriptor)
    return memory if memory[: len(offer.nonce)] == offer.nonce else None
