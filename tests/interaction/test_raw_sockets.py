"""Peers that are not our client: whatever they send, others on the server are not disturbed."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from openenv.client.env import EnvClient
from openenv.errors import PayloadError
from openenv.models import State
from openenv.protocol.frames import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from openenv.server.config import ServerConfig
from tests.environments import Add, Counter, Total
from tests.interaction.worlds import World, world
from tests.patience import within


class CounterEnv(EnvClient[Add, Total, State]):
    """A well-behaved client beside the odd one."""


@asynccontextmanager
async def raw(one: World, *subprotocols: str) -> Any:
    offered = [Subprotocol(name) for name in subprotocols] or None
    url = one.url.replace("http", "ws") + "/ws"
    async with connect(url, subprotocols=offered, compression=None) as socket:
        yield socket


@asynccontextmanager
async def beside_a_good_client(**options: Any) -> Any:
    """Yield a world in which, whatever happens, another client's episode goes on."""
    async with world("websocket", Counter, **options) as one, within(10):
        env = await one.client(CounterEnv)
        await env.reset()
        yield one
        assert (await env.step(Add(7))).observation.total == 7
        assert one.registry.active == 1


async def hello_json(socket: ClientConnection) -> list[Any]:
    await socket.send('["hello", 1]')
    answer: list[Any] = json.loads(await socket.recv())
    assert answer[0] == "hello"
    return answer


async def ask_json(socket: ClientConnection, *frames: Any) -> list[Any]:
    await socket.send(json.dumps([0, list(frames)]))
    replies: list[Any] = []
    while len(replies) < len(frames):
        replies += json.loads(await socket.recv())[1]
    return replies


@pytest.mark.parametrize("garbage", [b"\xc1\xff\x00", b"", b"\x93\x01\x02\x03", b"\x00" * 100])
async def test_random_bytes_end_only_their_own_connection(garbage: bytes) -> None:
    async with beside_a_good_client() as one:
        for greeted in (False, True):
            async with raw(one, SUBPROTOCOL_MSGPACK) as socket:
                if greeted:
                    await socket.send(msgspec.msgpack.encode(["hello", 1]))
                    await socket.recv()
                await socket.send(garbage)
                with pytest.raises(ConnectionClosed) as caught:
                    await socket.recv()
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1002


@pytest.mark.parametrize("message", ["[]", "{}", "null", '["step"]', "[1]", "not json", '[0, "x"]'])
async def test_json_that_is_no_message_ends_only_its_own_connection(message: str) -> None:
    async with beside_a_good_client() as one, raw(one, SUBPROTOCOL_JSON) as socket:
        await hello_json(socket)
        await socket.send(message)
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_binary_where_text_is_due_is_refused() -> None:
    async with beside_a_good_client() as one, raw(one, SUBPROTOCOL_JSON) as socket:
        await hello_json(socket)
        await socket.send(b"[0, []]\xff")
        with pytest.raises(ConnectionClosed):
            await socket.recv()


def masked(opcode: Opcode, payload: bytes) -> bytes:
    return Frame(opcode, payload).serialize(mask=True)


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (b"\xc2" + masked(Opcode.BINARY, b"\x92\x01\x90")[1:], 1002),
        (Frame(Opcode.BINARY, b"\x92\x01\x90").serialize(mask=False), 1002),
        (masked(Opcode.BINARY, b"no message"), 1002),
        (masked(Opcode.TEXT, b"\xff"), 1007),
        (masked(Opcode.BINARY, bytes(5000)), 1009),
        (masked(Opcode.CLOSE, b"\x03\xe8"), 1000),
    ],
    ids=["reserved-bit", "unmasked", "no-message", "not-utf8", "too-large", "close"],
)
@pytest.mark.parametrize("is_split", [False, True])
async def test_what_follows_a_refused_frame_is_not_handled_and_the_link_has_ended(
    refused: bytes, code: int, is_split: bool
) -> None:
    async with beside_a_good_client(ws_max_size=4000) as one, raw(one, SUBPROTOCOL_MSGPACK) as odd:
        await odd.send(msgspec.msgpack.encode(["hello", 1]))
        token = msgspec.msgpack.decode(await odd.recv())[2]
        requests = [["open", 1, 1], ["reset", 2, 1]]
        await odd.send(msgspec.msgpack.encode([0, requests]))
        await odd.recv()
        steps = Counter.steps
        step = masked(Opcode.BINARY, msgspec.msgpack.encode([1, [["step", 3, 1, {"amount": 1}]]]))
        if is_split:
            # What has been read of it when its rest comes ends within its header.
            pong = await odd.ping()
            odd.transport.write(refused[:3])
            await pong
        odd.transport.write((refused[3:] if is_split else refused) + step)
        with pytest.raises(ConnectionClosed) as caught:
            await odd.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == code
        assert Counter.steps == steps
        while token in one.registry.links:
            await asyncio.sleep(0.001)


async def test_a_malformed_frame_is_answered_and_its_neighbours_are_served() -> None:
    async with beside_a_good_client() as one, raw(one, SUBPROTOCOL_JSON) as socket:
        await hello_json(socket)
        replies = await ask_json(
            socket,
            ["open", 1, 1],
            ["reset", 2, 1],
            ["step", 3, "one", {}],
            ["dance", 4, 1],
            [5],
            ["step", 6, 1, {"amount": 2}],
        )
        by_id = {reply[1]: reply for reply in replies if reply[1]}
        assert by_id[3][0] == by_id[4][0] == "error"
        assert by_id[3][2] == "PROTOCOL_ERROR"
        assert by_id[6][:3] == ["result", 6, {"total": 2}]
        assert sum(reply[0] == "error" for reply in replies) == 3
        await ask_json(socket, ["close", 7, 1])


async def test_an_unknown_session_is_an_error_and_an_unknown_request_is_nothing() -> None:
    async with beside_a_good_client() as one, raw(one, SUBPROTOCOL_JSON) as socket:
        await hello_json(socket)
        await socket.send('[0, [["cancel", 99, 4]]]')
        (reply,) = await ask_json(socket, ["step", 1, 4, {}])
        assert reply[:3] == ["error", 1, "SESSION_NOT_FOUND"]


async def test_a_session_number_that_is_open_cannot_be_opened_again() -> None:
    async with beside_a_good_client() as one, raw(one, SUBPROTOCOL_JSON) as socket:
        await hello_json(socket)
        replies = await ask_json(socket, ["open", 1, 1], ["open", 2, 1])
        assert [reply[0] for reply in replies] == ["opened", "error"]
        await ask_json(socket, ["close", 3, 1])


@pytest.mark.parametrize(
    "frame",
    [
        ["fork", 1, 1, 2],
        ["snapshot", 1, 1],
        ["restore", 1, 1, {}],
        ["call", 1, 1, {}],
        ["a name of a later version", 1],
    ],
)
async def test_a_request_of_an_unknown_type_is_unsupported_and_the_link_goes_on(
    frame: list[Any],
) -> None:
    async with beside_a_good_client() as one, raw(one, SUBPROTOCOL_JSON) as socket:
        await hello_json(socket)
        (reply,) = await ask_json(socket, frame)
        assert reply[:3] == ["error", 1, "UNSUPPORTED"]
        (reply,) = await ask_json(socket, ["close", 2, 1])
        assert reply[:3] == ["closed", 2, 1]


async def test_a_message_over_the_limit_is_refused() -> None:
    config = ServerConfig(max_message_bytes=2048)
    async with (
        beside_a_good_client(config=config, max_concurrent_envs=4) as one,
        raw(one, SUBPROTOCOL_JSON) as socket,
    ):
        answer = await hello_json(socket)
        assert answer[5] == 2048
        await socket.send(json.dumps([0, [["step", 1, 1, {"x": "y" * 3000}]]]))
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_an_action_over_the_servers_limit_fails_locally_and_the_session_lives_on() -> None:
    config = ServerConfig(max_message_bytes=2048)
    async with world("websocket", Counter, config=config) as one, within(10):
        env = await one.client()
        await env.reset()
        with pytest.raises(PayloadError):
            await env.step({"amount": 1, "note": "y" * 3000})
        assert (await env.step({"amount": 1})).observation["total"] == 1


async def test_a_wrong_hello_is_refused() -> None:
    async with beside_a_good_client() as one:
        for hello in ('["hello", 99]', '["step", 1, 1, {}]', "[]"):
            async with raw(one, SUBPROTOCOL_JSON) as socket:
                await socket.send(hello)
                with pytest.raises(ConnectionClosed):
                    await socket.recv()


async def test_a_legacy_socket_answers_nonsense_and_goes_on() -> None:
    async with beside_a_good_client() as one, raw(one) as socket:
        for nonsense, code in (
            ("not json", "INVALID_JSON"),
            ("[1, 2]", "UNKNOWN_TYPE"),
            ('{"type": "dance"}', "UNKNOWN_TYPE"),
            (b"\x00\xff", "INVALID_JSON"),
            ('{"type": "step", "data": {"amount": "x"}}', "VALIDATION_ERROR"),
        ):
            await socket.send(nonsense)
            reply = json.loads(await socket.recv())
            assert (reply["type"], reply["data"]["code"]) == ("error", code)
        await socket.send('{"type": "reset", "data": {"seed": 3, "unknown": 1}}')
        assert json.loads(await socket.recv())["data"]["observation"] == {"total": 3}
        await socket.send('{"type": "close"}')
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_a_client_that_never_reads_stops_being_read_and_harms_nobody() -> None:
    async with beside_a_good_client() as one:
        async with raw(one, SUBPROTOCOL_JSON) as socket:
            await hello_json(socket)
            await ask_json(socket, ["open", 1, 1], ["reset", 2, 1])
            transport = socket.transport
            transport.pause_reading()
            steps = [["step", number, 1, {"amount": 1}] for number in range(3, 2003)]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    while True:
                        await socket.send(json.dumps([0, steps]))
            transport.resume_reading()
            transport.abort()
        while one.registry.active > 1:
            for link in list(one.registry.links.values()):
                if not link.is_live:
                    link.end()
            await asyncio.sleep(0.01)
