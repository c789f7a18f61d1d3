"""What is encoded on one side is what the other side decodes."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from openenv.codec import decode_any
from openenv.protocol import frames as f
from openenv.protocol.legacy import SESSION, LegacyClientProtocol, LegacyServerProtocol
from openenv.protocol.link import size_bytes
from openenv.protocol.wire import JSON, MSGPACK, Wire
from tests.property.strategies import CLIENT_FRAMES, PAYLOADS, SERVER_FRAMES, frames_of
from tests.protocol.links import BOTH, begun, plain, receive_all, wire_name

both_wires = pytest.mark.parametrize("wire", BOTH, ids=wire_name)


def same(one: Any, other: Any) -> bool:
    """Whether two frames are the same, where NaN is NaN, 1 is not True and 0.0 is not -0.0."""
    return repr(one) == repr(other)


@both_wires
@given(frames=st.lists(CLIENT_FRAMES, max_size=8))
def test_requests_arrive_as_they_were_sent(wire: Wire, frames: list[Any]) -> None:
    client, server = begun(wire)
    received = receive_all(server, client.send(list(frames)))
    assert client.take_local_replies() == []
    assert same([plain(frame, wire) for frame in received], frames)


@both_wires
@given(frames=st.lists(SERVER_FRAMES, max_size=8))
def test_replies_arrive_as_they_were_sent(wire: Wire, frames: list[Any]) -> None:
    client, server = begun(wire)
    received = receive_all(client, server.send(list(frames)))
    assert same([plain(frame, wire) for frame in received], frames)


@both_wires
@given(data=st.data(), cls=st.sampled_from([f.ClientHello, f.ServerHello]))
def test_hellos_arrive_as_they_were_sent(wire: Wire, data: st.DataObject, cls: Any) -> None:
    hello = data.draw(frames_of(cls))
    assert same(wire.decode_hello(wire.encode(hello), cls), hello)


@both_wires
@given(
    sizes=st.lists(st.integers(0, 3000) | st.sampled_from([30_000, 70_000]), max_size=30),
    limit=st.sampled_from([1024, 4096, f.MAX_MESSAGE_BYTES]),
)
def test_frames_of_any_size_arrive_in_order_or_are_refused(
    wire: Wire, sizes: list[int], limit: int
) -> None:
    client, server = begun(wire, max_message_bytes=limit)
    frames = [f.Step(number, 1, "é" * (size // 2)) for number, size in enumerate(sizes, 1)]
    messages = client.send(frames)
    received = [frame.id for frame in receive_all(server, messages)]
    refused = [error.id for error in client.take_local_replies()]

    assert sorted(received + refused) == [frame.id for frame in frames]
    assert received == sorted(received)
    assert refused == [frame.id for frame in frames if size_bytes(alone(wire, frame)) > limit]
    assert all(size_bytes(message) <= limit for message in messages)


def alone(wire: Wire, frame: f.Frame) -> Any:
    return wire.encode((0, [frame]))


@given(PAYLOADS, st.integers(), st.none() | st.text(), st.dictionaries(st.text(), PAYLOADS))
def test_legacy_requests_arrive_as_they_were_sent(
    action: Any, seed: int, episode_id: str | None, options: dict[str, Any]
) -> None:
    options = {name: value for name, value in options.items() if name not in ("seed", "episode_id")}
    requests = [f.Reset(1, 1, seed, episode_id, options or None), f.Step(2, 1, action)]
    client, server = LegacyClientProtocol(), LegacyServerProtocol()
    received = receive_all(server, client.send(list(requests)))
    assert same([plain(frame, JSON) for frame in received], requests)


@given(
    PAYLOADS,
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(),
    st.booleans(),
    st.booleans(),
    st.dictionaries(st.text(), PAYLOADS, max_size=3),
)
def test_legacy_results_arrive_as_they_were_sent(
    observation: Any, reward: Any, done: bool, truncated: bool, metadata: dict[str, Any]
) -> None:
    client, server = LegacyClientProtocol(), LegacyServerProtocol()
    client.send([f.Step(7, SESSION, {})])
    texts = server.send([f.Result(1, observation, reward, done, truncated, metadata or None)])
    [received] = receive_all(client, texts)
    kept = reward if not isinstance(reward, float) or math.isfinite(reward) else None
    expected = f.Result(7, observation, kept, done or truncated, truncated, metadata or None)
    assert same(plain(received, JSON), expected)


# ---------------------------------------------------------------- arrays


ARRAYS = hnp.arrays(
    st.sampled_from(["?", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"])
    | st.sampled_from(["<f2", "<f4", "<f8", ">f4", ">i8", "<c8", "<c16"]),
    hnp.array_shapes(min_dims=0, min_side=0, max_dims=4),
)


@given(ARRAYS, st.booleans())
def test_arrays_arrive_bit_by_bit(original: np.ndarray, is_transposed: bool) -> None:
    original = original.T if is_transposed else original
    expected = np.ascontiguousarray(original).astype(original.dtype.newbyteorder("<"))
    for wire in BOTH:
        client, server = begun(wire)
        [step] = receive_all(server, client.send([f.Step(1, 1, {"x": original})]))
        copy = decode_any(step.action, wire.encoding)["x"]
        assert (copy.dtype, copy.shape) == (expected.dtype, original.shape)
        assert copy.tobytes() == expected.tobytes()


@given(st.binary(max_size=64), st.integers(-128, 127))
def test_any_extension_is_an_array_or_malformed(data: bytes, code: int) -> None:
    client, server = begun(MSGPACK)
    extension = msgspec.msgpack.Ext(code, data)
    reset, close = receive_all(
        server, client.send([f.Reset(1, 1, options={"x": extension}), f.Close(2, 1)])
    )
    assert reset.id == 1
    assert close == f.Close(2, 1)
