"""A spectator that speaks JSON by hand, so that a test decides when it reads and acknowledges."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from openenv.protocol.frames import SUBPROTOCOL_JSON
from tests.interaction.worlds import World


class Spectator:
    """One socket of one link. Acknowledges what it reads unless told not to."""

    def __init__(self, socket: ClientConnection, received: int = 0) -> None:
        self.socket = socket
        self.received = received
        self.acknowledges = True
        self.sessions: dict[str, dict[str, Any]] = {}
        "The newest summary of each session, by its public name."
        self.ended: list[str] = []
        self.events = 0
        self._acknowledged = received

    async def send(self, *frames: Any) -> None:
        if self.acknowledges:
            self._acknowledged = self.received
        await self.socket.send(json.dumps([self._acknowledged, frames]))

    async def read(self) -> list[Any]:
        """Return the frames of the next message that has any."""
        frames: list[Any] = []
        while not frames:
            frames = json.loads(await self.socket.recv())[1]
        self.received += 1
        for name, _, *rest in frames:
            if name == "event":
                self.events += 1
                self.sessions.update({summary["session"]: summary for summary in rest[0]})
                self.ended += rest[1]
        if self.acknowledges:
            await self.send()
        return frames

    async def until(self, **fields: Any) -> dict[str, Any]:
        """Read until a session's newest summary has these fields; return it."""
        while True:
            for summary in self.sessions.values():
                if all(summary.get(name) == value for name, value in fields.items()):
                    return summary
            await self.read()


@asynccontextmanager
async def dialed(one: World, hello: list[Any]) -> AsyncIterator[tuple[ClientConnection, list[Any]]]:
    """A socket, and what the server has answered to its hello."""
    url = one.url.replace("http", "ws") + "/ws"
    offered = [Subprotocol(SUBPROTOCOL_JSON)]
    async with connect(url, subprotocols=offered, compression=None) as socket:
        await socket.send(json.dumps(hello))
        yield socket, json.loads(await socket.recv())


@asynccontextmanager
async def spectator(one: World, *watch: Any, hello: Any = ("hello", 1)) -> AsyncIterator[Spectator]:
    """Watch with these fields after the id, which is 1."""
    async with dialed(one, hello) as (socket, _):
        them = Spectator(socket)
        await them.send(["watch", 1, *watch])
        yield them
