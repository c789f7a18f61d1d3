"""The test vectors are what the protocol writes, and it reads them as what they say."""

import json
from functools import partial
from typing import Any

import msgspec
import pytest

from openenv import arrays, errors
from openenv.errors import PayloadError, RemoteProtocolError
from openenv.protocol import frames as f
from openenv.protocol.client import ClientProtocol
from openenv.protocol.legacy import SESSION, LegacyClientProtocol, LegacyServerProtocol
from openenv.protocol.server import ServerProtocol, read_hello
from openenv.protocol.wire import JSON, Wire
from tests.protocol.links import BOTH, wire_name
from tests.vectors import generate

both_wires = pytest.mark.parametrize("wire", BOTH, ids=wire_name)

FRAMES = {"client": f.ClientFrame, "server": f.ServerFrame}
HELLOS = {"client": f.ClientHello, "server": f.ServerHello}


def load(name: str) -> Any:
    return json.loads((generate.FOLDER / name).read_text(encoding="utf-8"))


def data_of(vector: dict[str, Any], wire: Wire) -> Any:
    return vector["json"] if wire is JSON else bytes.fromhex(vector["msgpack"])


@pytest.mark.parametrize("name", generate.FILES)
def test_a_file_of_vectors_is_up_to_date(name: str) -> None:
    written = (generate.FOLDER / name).read_text(encoding="utf-8")
    assert written == generate.text_of(name), "run: python -m tests.vectors.generate"


def test_every_file_of_vectors_is_generated() -> None:
    assert {path.name for path in generate.FOLDER.glob("*.json")} == set(generate.FILES)


def test_every_frame_has_vectors() -> None:
    named = {(vector["from"], vector["frame"]) for vector in load("frames.json")}
    classes = {
        (side, cls.__struct_config__.tag)
        for side in ("client", "server")
        for cls in (HELLOS[side], *FRAMES[side].__args__)
    }
    assert named == classes


@both_wires
@pytest.mark.parametrize("vector", load("frames.json"), ids=lambda one: one["name"])
def test_a_frame_is_read_as_its_fields(vector: Any, wire: Wire) -> None:
    data = data_of(vector, wire)
    if vector["frame"] == "hello":
        frame = wire.decode_hello(data, HELLOS[vector["from"]])
    else:
        message = f"[0,[{data}]]" if wire is JSON else b"\x92\x00\x91" + data
        [frame] = wire.decoder(FRAMES[vector["from"]]).decode(message)[1]
    fields = dict(zip(frame.__struct_fields__, as_data(frame, wire)[1:], strict=True))
    assert repr(fields) == repr(vector["fields"])


def as_data(frame: Any, wire: Wire) -> Any:
    """Return a frame that was read as JSON data, whichever way it came."""
    value = wire.encode(frame)
    return json.loads(value) if wire is JSON else generate.plain(msgspec.msgpack.decode(value))


@both_wires
@pytest.mark.parametrize("vector", load("messages.json")["read"], ids=lambda one: one["name"])
def test_a_message_is_read_as_its_frames(vector: Any, wire: Wire) -> None:
    decoder = wire.decoder(FRAMES[vector["from"]])
    acknowledgement, frames = decoder.decode(data_of(vector, wire))
    assert acknowledgement == vector["acknowledgement"]
    for frame, expected in zip(frames, vector["frames"], strict=True):
        if expected.get("malformed"):
            assert frame == f.Malformed(expected["id"], frame.message, expected["code"])
        else:
            array = as_data(frame, wire)
            # What a sender left out has its default; what we do not know is gone.
            common = min(len(array), len(expected["frame"]))
            assert array[:common] == expected["frame"][:common]
            assert common >= 3


@both_wires
@pytest.mark.parametrize("vector", load("messages.json")["broken"], ids=lambda one: one["json"])
def test_what_is_no_message_is_refused(vector: Any, wire: Wire) -> None:
    with pytest.raises(RemoteProtocolError):
        wire.decoder(f.ClientFrame).decode(data_of(vector, wire))


@both_wires
@pytest.mark.parametrize("vector", load("hello.json")["refused"], ids=lambda one: one["json"])
def test_an_illegal_hello_is_refused(vector: Any, wire: Wire) -> None:
    from_client = vector["from"] == "client"
    receive = partial(read_hello, wire) if from_client else ClientProtocol(wire).attach
    with pytest.raises(RemoteProtocolError):
        receive(data_of(vector, wire))


# ---------------------------------------------------------------- links


class Player:
    """One side of a link, played by the vectors: it must say what they have it say."""

    def __init__(self, side: str, wire: Wire) -> None:
        self.side, self.wire = side, wire
        self.client, self.server = ClientProtocol(wire), ServerProtocol(wire, "k3")
        self.own: Any = self.client if side == "client" else self.server
        self.again: list[Any] = []
        self.is_lost = False

    def play(self, event: dict[str, Any]) -> None:
        data = data_of(event, self.wire) if "json" in event else None
        match event["event"], event.get("from") == self.side:
            case "hello", True:
                self.say_hello(data)
            case "hello", False:
                self.hear_hello(data)
            case "message", True:
                self.say(event, data)
            case "message", False if event["arrives"]:
                self.own.receive(data)
            case "cut", _:
                self.own.detach()
            case "count", _:
                link = self.own.link
                counts = [link.sent, link.received, link.acknowledged]
                assert counts == list(event[self.side].values())
            case "the link and its sessions are lost", _:
                assert self.is_lost

    def say_hello(self, data: Any) -> None:
        if self.side == "client":
            assert self.client.hello() == data
            return
        said = self.wire.decode_hello(data, f.ServerHello)
        if said.token != self.server.token:
            self.is_lost = True
            return
        greeting, *self.again = self.server.attach(self.hello)
        ours = self.wire.decode_hello(greeting, f.ServerHello)
        assert (ours.token, ours.resumed, ours.received) == (
            said.token,
            said.resumed,
            said.received,
        )

    def hear_hello(self, data: Any) -> None:
        if self.side == "server":
            self.hello = read_hello(self.wire, data)
            return
        missing = self.client.attach(data)
        self.is_lost = missing is None
        self.again = missing or []

    def say(self, event: dict[str, Any], data: Any) -> None:
        _, frames = self.wire.decoder(FRAMES[self.side]).decode(data)
        if event["again"]:
            assert self.again.pop(0) == data
        elif frames:
            assert self.own.send(list(frames)) == [data]
        else:
            assert self.own.acknowledgement() == data


LINKS = load("resume.json") | {"begin a link": load("hello.json")["begin a link"]}


@both_wires
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_played_by_its_vectors(name: str, side: str, wire: Wire) -> None:
    player = Player(side, wire)
    for event in LINKS[name]:
        player.play(event)
    assert player.again == []


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize("vector", load("arrays.json")["arrays"], ids=repr)
def test_an_array_is_read_bit_by_bit(vector: Any) -> None:
    decoder = msgspec.msgpack.Decoder(ext_hook=arrays.decode_ext)
    for array in (
        decoder.decode(bytes.fromhex(vector["msgpack"])),
        arrays.decode_json(json.loads(vector["json"])),
    ):
        assert array.dtype == vector["dtype"]
        assert list(array.shape) == vector["shape"]
        assert array.tobytes().hex() == vector["bytes"]


@pytest.mark.parametrize("vector", load("arrays.json")["refused"], ids=lambda one: one["name"])
def test_an_array_that_lies_is_refused(vector: Any) -> None:
    decoder = msgspec.msgpack.Decoder(ext_hook=arrays.decode_ext)
    with pytest.raises(PayloadError):
        decoder.decode(bytes.fromhex(vector["msgpack"]))
    with pytest.raises(PayloadError):
        arrays.decode_json(json.loads(vector["json"]))


@both_wires
@pytest.mark.parametrize("vector", load("errors.json"), ids=lambda one: one["code"])
def test_an_error_frame_is_read_as_the_error(vector: Any, wire: Wire) -> None:
    data = data_of(vector, wire)
    message = f"[0,[{data}]]" if wire is JSON else b"\x92\x00\x91" + data
    [frame] = wire.decoder(f.ServerFrame).decode(message)[1]
    error = errors.from_wire(frame.code, frame.message, frame.details)
    assert type(error) is errors.TABLE[vector["code"]]
    assert error.details == vector["details"]
    assert (frame.retryable, error.retryable) == (vector["retryable"],) * 2


@pytest.mark.parametrize("vector", load("legacy.json")["answered"], ids=lambda one: one["name"])
def test_a_legacy_exchange_means_its_frames(vector: Any) -> None:
    [asked] = LegacyServerProtocol().receive(vector["request"])
    assert as_data(asked, JSON) == vector["frame"]
    client = LegacyClientProtocol()
    if vector["reply"] is not None:
        client.send([f.GetState(1, SESSION) if vector["frame"][0] == "state" else asked])
        [reply] = client.receive(vector["reply"])
        assert reply.id == 1
        assert reply.__struct_config__.tag == vector["reply_frame"][0]


@pytest.mark.parametrize("vector", load("legacy.json")["refused"], ids=lambda one: one["request"])
def test_a_legacy_message_that_is_none_has_its_code(vector: Any) -> None:
    [malformed] = LegacyServerProtocol().receive(vector["request"])
    assert type(malformed) is f.Malformed
    assert malformed.message.startswith(vector["code"] + ": ")
