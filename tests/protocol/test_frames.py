"""Frames: that every one can be told from the others, and that the limits fit each other."""

from typing import Any, get_args

import msgspec
import pytest

from openenv.arrays import VIEW_MIN_BYTES
from openenv.protocol import frames as f
from tests.vectors import samples

FROM_CLIENT = [f.ClientHello, *get_args(f.ClientFrame)]
FROM_SERVER = [f.ServerHello, *get_args(f.ServerFrame)]


def tags(classes: list[Any]) -> list[str]:
    return [cls.__struct_config__.tag for cls in classes]


@pytest.mark.parametrize("classes", [FROM_CLIENT, FROM_SERVER], ids=["client", "server"])
def test_no_two_frames_of_a_side_have_the_same_name(classes: list[Any]) -> None:
    assert len(set(tags(classes))) == len(classes)


def test_every_frame_is_sent_by_one_side() -> None:
    # Servers and their worker processes have frames of their own beside these.
    frames = f.Frame.__subclasses__()
    spoken = {cls for cls in frames if cls.__module__.startswith("openenv.protocol")}
    assert spoken == {*FROM_CLIENT, *FROM_SERVER}
    assert not set(FROM_CLIENT) & set(FROM_SERVER)


def test_the_specified_frames_are_there() -> None:
    both = {"hello", "state", "segment"}
    requests = {"open", "reset", "step", "steps", "close", "cancel", "watch", "unwatch"}
    replies = {"opened", "result", "results", "partial", "closed", "error", "event"}
    assert set(tags(FROM_CLIENT)) == both | requests
    assert set(tags(FROM_SERVER)) == both | replies


@pytest.mark.parametrize("cls", [*FROM_CLIENT, *FROM_SERVER], ids=lambda cls: cls.__name__)
def test_a_frame_is_an_array_that_begins_with_its_name(cls: Any) -> None:
    sample = next(one for one in all_samples() if type(one) is cls)
    array = msgspec.to_builtins(sample)
    assert array[0] == cls.__struct_config__.tag
    assert len(array) == 1 + len(cls.__struct_fields__)


def all_samples() -> list[f.Frame]:
    kinds = (
        samples.CLIENT_HELLOS,
        samples.CLIENT_FRAMES,
        samples.SERVER_HELLOS,
        samples.SERVER_FRAMES,
    )
    return [frame for kind in kinds for frame in kind.values()]


def test_both_hellos_begin_with_the_version() -> None:
    # A later version may change whatever comes after it.
    assert msgspec.to_builtins(f.ClientHello())[:2] == ["hello", f.VERSION]
    assert msgspec.to_builtins(f.ServerHello())[:2] == ["hello", f.VERSION]


def test_whatever_shares_a_message_is_too_small_to_be_read_in_place() -> None:
    assert f.MIN_MESSAGE_BYTES < f.COALESCE_BYTES <= VIEW_MIN_BYTES < f.MAX_MESSAGE_BYTES


def test_close_codes_differ_and_are_those_of_websocket_or_private() -> None:
    codes = [getattr(f, name) for name in dir(f) if name.startswith("CLOSE_")]
    assert len(set(codes)) == len(codes) == 5
    assert all(1000 <= code <= 1015 or 4000 <= code <= 4999 for code in codes)
