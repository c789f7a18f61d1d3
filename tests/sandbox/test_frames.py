"""Messages of the sandbox survive the way, and what is none is refused."""

import os
import threading

import pytest

from openenv.sandbox import frames


@pytest.mark.parametrize("size", [0, 1, 1 << 20])
def test_a_message_arrives_as_it_was_sent(size: int) -> None:
    reader, writer = os.pipe()
    message = {"code": "ü\ud800" * size, "n": None}
    thread = threading.Thread(target=frames.write, args=(writer, message))
    thread.start()
    assert frames.read(reader) == message
    thread.join()
    os.close(writer)
    assert frames.read(reader) is None
    os.close(reader)


def test_a_message_that_is_cut_is_none() -> None:
    reader, writer = os.pipe()
    os.write(writer, frames.encode({"a": 1})[:-1])
    os.close(writer)
    assert frames.read(reader) is None
    os.close(reader)


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"\xff", b"[" * 100_000, b"{"])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are those of the parsers
        frames.decode(body)
