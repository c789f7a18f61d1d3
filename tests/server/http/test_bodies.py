"""Bodies of requests and replies over HTTP: bad ones, MessagePack ones, arrays."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

from openenv import arrays
from openenv.environment import Environment
from openenv.models import State
from openenv.server.config import ServerConfig
from tests.environments import Counter
from tests.server.asking import add, served

MSGPACK = {"content-type": "application/msgpack", "accept": "application/msgpack"}

# ---- bad input


@pytest.mark.parametrize(
    ("body", "status", "code", "location"),
    [
        (b"not json", 400, "PROTOCOL_ERROR", None),
        (b"\xff\xfe\x00", 400, "PROTOCOL_ERROR", None),
        (b'{"action": ' + b"[" * 100_000, 400, "PROTOCOL_ERROR", None),
        (b'{"action": {"amount": 1}', 400, "PROTOCOL_ERROR", None),
        (b"[1, 2]", 422, "PAYLOAD_ERROR", ["body"]),
        (b"{}", 422, "PAYLOAD_ERROR", ["body", "action"]),
        (b'{"action": {}, "timeout_s": -1}', 422, "PAYLOAD_ERROR", ["body", "timeout_s"]),
        (b'{"action": {}, "request_id": 5}', 422, "PAYLOAD_ERROR", ["body", "request_id"]),
        (b'{"action": {"amount": "x"}}', 422, "PAYLOAD_ERROR", ["amount"]),
        (b'{"action": 5}', 422, "PAYLOAD_ERROR", []),
    ],
)
async def test_a_bad_body_is_refused_with_its_place_and_the_session_lives_on(
    body: bytes, status: int, code: str, location: list[str] | None
) -> None:
    async with served(Counter) as (http, _):
        await http.post("/reset")
        json_type = {"content-type": "application/json"}
        reply = await http.post("/step", content=body, headers=json_type)
        assert (reply.status_code, reply.json()["code"]) == (status, code)
        if location is not None:
            (detail,) = reply.json()["detail"]
            assert detail["loc"] == location
            assert set(detail) == {"type", "loc", "msg", "input"}
        assert (await http.post("/step", json=add(1))).json()["observation"] == {"total": 1}


async def test_the_detail_of_a_422_shows_the_value_that_was_wrong() -> None:
    async with served(Counter) as (http, _):
        await http.post("/reset")
        (wrong,) = (await http.post("/step", json=add("seven"))).json()["detail"]
        assert wrong["input"] == "seven"
        (missing,) = (await http.post("/step", json={"act": 1})).json()["detail"]
        assert (missing["type"], missing["input"]) == ("missing", {"act": 1})


@pytest.mark.parametrize("seed", ["three", 1.5, True])
async def test_a_seed_must_be_an_integer(seed: Any) -> None:
    async with served(Counter) as (http, registry):
        reply = await http.post("/reset", json={"seed": seed})
        assert reply.status_code == 422
        assert reply.json()["detail"][0]["loc"] == ["body", "seed"]
        assert not registry.sessions


async def test_a_body_over_the_limit_is_refused_unread() -> None:
    config = ServerConfig(max_message_bytes=2000)
    async with served(Counter, config=config) as (http, _):
        await http.post("/reset")
        reply = await http.post("/step", content=b" " * 2001)
        assert (reply.status_code, reply.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert reply.json()["details"] == {"limit_bytes": 2000}

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b" " * 1000

        reply = await http.post("/step", content=chunks())
        assert reply.status_code == 413


async def test_another_media_type_is_refused() -> None:
    async with served(Counter) as (http, _):
        reply = await http.post("/reset", data={"seed": "1"})
        assert reply.status_code == 400
        assert "application/msgpack" in reply.json()["message"]


async def test_no_such_path_or_method_is_said_in_json() -> None:
    async with served(Counter) as (http, _):
        assert (await http.get("/nothing")).json()["detail"] == "Not Found"
        reply = await http.get("/step")
        assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


# ---- MessagePack and arrays


@dataclass
class Image:
    pixels: np.ndarray[Any, np.dtype[np.float32]]
    reward: float = 0.0


class Doubler(Environment[Image, Image, State]):
    execution = "inline"

    def reset(self) -> Image:
        return Image(np.zeros((2, 2), np.float32))

    def step(self, action: Image) -> Image:
        return Image(action.pixels * 2, reward=float("inf"))


async def test_arrays_travel_as_bytes_in_msgpack_and_numbers_are_exact() -> None:
    pixels = np.arange(4, dtype=np.float32).reshape(2, 2)
    encode = msgspec.msgpack.Encoder(enc_hook=arrays.enc_hook_msgpack).encode
    decode = msgspec.msgpack.Decoder(ext_hook=arrays.decode_ext).decode
    async with served(Doubler) as (http, _):
        await http.post("/reset")
        body = encode({"action": {"pixels": pixels}})
        reply = await http.post("/step", content=body, headers=MSGPACK)
        assert reply.headers["content-type"] == "application/msgpack"
        content = decode(reply.content)
        np.testing.assert_array_equal(content["observation"]["pixels"], pixels * 2)
        assert content["reward"] == float("inf")
        wrong = await http.post("/step", content=encode({"act": 1}), headers=MSGPACK)
        assert (wrong.status_code, decode(wrong.content)["code"]) == (422, "PAYLOAD_ERROR")
        broken = await http.post("/step", content=b"\xc1", headers=MSGPACK)
        assert broken.status_code == 400


async def test_accept_alone_decides_the_form_of_the_reply() -> None:
    pixels = np.ones((1, 2), np.float32)
    async with served(Doubler) as (http, _):
        await http.post("/reset")
        body = json.dumps({"action": {"pixels": arrays.encode_json(pixels)}})
        plain = await http.post(
            "/step", content=body, headers={"content-type": "application/json", "accept": "*/*"}
        )
        np.testing.assert_array_equal(
            arrays.decode_json(plain.json()["observation"]["pixels"]), pixels * 2
        )
        assert plain.json()["reward"] is None
        lists = await http.post("/step", json={"action": {"pixels": [[1.0, 1.0]]}})
        assert lists.status_code == 200
        preferred = await http.get(
            "/state", headers={"accept": "application/json;q=0.5, application/msgpack;q=0.9"}
        )
        assert msgspec.msgpack.decode(preferred.content)["step_count"] == 2
