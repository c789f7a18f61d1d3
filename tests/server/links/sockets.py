"""A fake of a direct channel, whose buffers are as large as the test says."""

import asyncio
from typing import Any

import msgspec

from openenv.channel import Listener


class DirectSocket:
    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.times_asked = 0
        self.messages: list[Any] = []
        self.close_code: int | None = None
        self._was_drained = asyncio.Event()

    @property
    def is_writable(self) -> bool:
        self.times_asked += 1
        return self.room > 0

    @property
    def frames(self) -> list[Any]:
        """All frames that were written."""
        return [frame for message in self.messages for frame in message[1]]

    @property
    def ids(self) -> list[int]:
        """The ids of the replies that were written."""
        return [frame[1] for frame in self.frames]

    def write(self, data: Any) -> None:
        self.room -= 1
        decode = msgspec.json.decode if type(data) is str else msgspec.msgpack.decode
        self.messages.append(decode(data))

    async def send(self, data: Any) -> None:
        while self.room <= 0:
            self._was_drained.clear()
            await self._was_drained.wait()
        self.write(data)

    def drain(self, room: int = 1_000_000) -> None:
        self.room = room
        self._was_drained.set()

    def listen(self, listener: Listener) -> None:
        """Nobody ever sends."""

    async def receive(self) -> Any:
        raise NotImplementedError

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        self.close_code = code
