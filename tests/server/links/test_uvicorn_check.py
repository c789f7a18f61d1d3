"""The check of uvicorn's insides: our class where they are known, plain ASGI elsewhere."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from openenv.app import create_app
from openenv.client.generic import GenericEnvClient
from openenv.server.links import uvicorn_check
from openenv.server.links.connection import AsgiChannel
from openenv.server.links.uvicorn_check import websocket_class
from openenv.server.links.uvicorn_socket import SessionSocket
from openenv.server.serve import DrainingServer, listening, url_of
from tests.environments import Counter
from tests.patience import within


class WithoutFlowControl(SessionSocket):
    """As if uvicorn did not tell any more that a socket is full."""

    def pause_writing(self) -> None:
        """Forget it."""


class WithoutPongs(SessionSocket):
    def handle_ping(self) -> None:
        """Forget it."""


class WithoutFragments(SessionSocket):
    def handle_cont(self, event: Any) -> None:
        """Forget it."""


class WithoutClosing(SessionSocket):
    async def send(self, message: Any) -> None:
        if message["type"] != "websocket.close":
            await super().send(message)


class WithoutQueue(SessionSocket):
    """As if uvicorn kept its messages elsewhere."""

    async def receive(self) -> Any:
        raise AttributeError("queue")


class Waiting(SessionSocket):
    """As if accepting waited for the event loop."""

    async def send(self, message: Any) -> None:
        await asyncio.sleep(0)


class WithoutApplication(SessionSocket):
    async def run_asgi(self) -> None:
        """Forget it."""


class WithoutTimeout(SessionSocket):
    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.timers.clear()  # type: ignore[attr-defined]  # a stand-in of the check


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.name for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_installed_uvicorn_is_known(caplog: pytest.LogCaptureFixture) -> None:
    assert websocket_class() is SessionSocket
    assert warnings_of(caplog) == []


@pytest.mark.parametrize(
    "changed",
    [
        WithoutFlowControl,
        WithoutPongs,
        WithoutFragments,
        WithoutClosing,
        WithoutQueue,
        Waiting,
        WithoutApplication,
        WithoutTimeout,
        None,
    ],
)
def test_a_uvicorn_with_other_insides_gets_its_own_class_and_one_warning(
    changed: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(uvicorn_check, "SessionSocket", changed)
    assert websocket_class() == "auto"
    assert warnings_of(caplog) == ["openenv.server"]


@pytest.mark.parametrize("attribute", ["handle_events", "send", "keepalive_timeout", "run_asgi"])
def test_a_uvicorn_that_lacks_a_method_gets_its_own_class(
    attribute: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(WebSocketsSansIOProtocol, attribute)
    assert websocket_class() == "auto"
    assert warnings_of(caplog) == ["openenv.server"]


def test_reading_the_handshake_in_pieces_is_no_difference() -> None:
    class InPieces(SessionSocket):
        def data_received(self, data: bytes) -> None:
            if data.startswith(b"GET"):
                super().data_received(data[:10])
                data = data[10:]
            super().data_received(data)

    uvicorn_check._Rehearsal(InPieces).play()


async def test_without_our_class_a_server_plays_over_plain_asgi(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(uvicorn_check, "SessionSocket", None)
    app = create_app(Counter)
    with listening("127.0.0.1", 0) as listener:
        is_ready = asyncio.Event()
        server = DrainingServer(app, url_of(listener), ready=lambda _: is_ready.set())
        serving = asyncio.create_task(server._serve(sockets=[listener]))
        async with within(20):
            await is_ready.wait()
            async with GenericEnvClient(server.url) as env:
                await env.reset()
                result = await env.step({"amount": 2})
                [link] = app.state.registry.links.values()
                assert isinstance(link.channel, AsgiChannel)
                # More than a socket's buffers hold, both ways.
                await env.step({"amount": 1, "note": "x" * 3_000_000})
            server.should_exit = True
            await serving
    assert result.observation
    assert warnings_of(caplog) == ["openenv.server"]
