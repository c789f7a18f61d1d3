"""Spectators: what they see of others' sessions, and what they may not do to them."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from openenv.protocol.frames import SUBPROTOCOL_JSON
from openenv.server.config import ServerConfig
from tests.environments import Counter
from tests.interaction.worlds import World, world

WATCHED = ServerConfig(watch=True)


class Spectator:
    """Speaks JSON by hand, and remembers the newest of each session."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.sessions: dict[str, dict[str, Any]] = {}
        self.ended: list[str] = []
        self.events: list[Any] = []
        self._received = 0

    async def send(self, *frames: Any) -> None:
        await self.socket.send(json.dumps([self._received, frames]))

    async def read(self) -> list[Any]:
        frames: list[Any] = json.loads(await self.socket.recv())[1]
        self._received += bool(frames)
        for name, _, *rest in frames:
            if name == "event":
                self.events.append(rest)
                self.sessions.update({summary["session"]: summary for summary in rest[0]})
                self.ended += rest[1]
        await self.socket.send(json.dumps([self._received, []]))
        return frames

    async def until(self, **fields: Any) -> dict[str, Any]:
        """Read until a session has these fields."""
        while True:
            for summary in self.sessions.values():
                if all(summary.get(name) == value for name, value in fields.items()):
                    return summary
            await self.read()


@asynccontextmanager
async def spectator(one: World, *watch: Any) -> AsyncIterator[Spectator]:
    url = one.url.replace("http", "ws") + "/ws"
    offered = [Subprotocol(SUBPROTOCOL_JSON)]
    async with connect(url, subprotocols=offered, compression=None) as socket:
        await socket.send('["hello", 1]')
        assert "watch" in json.loads(await socket.recv())[9]
        them = Spectator(socket)
        await them.send(["watch", 1, *watch])
        yield them


async def test_a_spectator_sees_a_session_step_and_end() -> None:
    async with (
        world("websocket", Counter, config=WATCHED) as one,
        asyncio.timeout(10),
        spectator(one) as them,
    ):
        assert (await them.read()) == [["event", 1, [], []]]
        env = await one.client(label="train/7")
        await env.reset(episode_id="first")
        token = env._session.token
        seen = await them.until(episode=1)
        assert seen["session"] == hashlib.sha256(token.encode()).hexdigest()[:12]
        await env.step({"amount": 3})
        await env.step({"amount": 4})
        seen = await them.until(step=2)
        assert seen["action"] == {"amount": 4}
        assert seen["observation"]["total"] == 7
        assert (seen["label"], seen["episode_id"]) == ("train/7", "first")
        await env.close()
        while not them.ended:
            await them.read()
        assert them.ended == [seen["session"]]
