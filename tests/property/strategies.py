"""Strategies: payloads, frames of every kind, and bytes that resemble messages."""

from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from openenv.protocol import frames as f

INTEGERS = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
ANY_TEXT = st.text(st.characters(exclude_categories=()))
"With lone surrogates, which have no UTF-8."


def payloads(floats: st.SearchStrategy[float] = FINITE) -> st.SearchStrategy[Any]:
    """Plain data, nested."""
    return st.recursive(
        st.none() | st.booleans() | INTEGERS | floats | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )


PAYLOADS = payloads()


def _field(name: str, annotation: Any) -> st.SearchStrategy[Any]:
    by_type: dict[Any, st.SearchStrategy[Any]] = {
        f.RequestId: st.integers(1, f.MAX_ID),
        f.Seconds: st.floats(0, allow_nan=False),
        f.Timeout: st.floats(0, exclude_min=True, allow_nan=False),
        msgspec.Raw: PAYLOADS,
        int: INTEGERS,
        float: FINITE,
        str: st.text(),
        bool: st.booleans(),
        bytes: st.binary(max_size=20),
        type(None): st.none(),
        list[str]: st.lists(st.text(), max_size=3),
        dict[str, Any]: st.dictionaries(st.text(), PAYLOADS, max_size=3),
    }
    if name == "reward":
        return st.none() | st.booleans() | INTEGERS | st.floats()
    if name == "rewards":
        # Columns travel in MessagePack only; JSON could not spell what is not finite here.
        return st.lists(st.none() | st.booleans() | INTEGERS | FINITE, max_size=3)
    if annotation is f.Summary:
        # Without its name a reward is finite: JSON could not spell another one in there.
        hints = get_type_hints(f.Summary, include_extras=True)
        return st.builds(f.Summary, **{one: _field("", hint) for one, hint in hints.items()})
    known = by_type.get(annotation)
    if known is not None:
        return known
    if get_origin(annotation) is list:
        return st.lists(_field("", get_args(annotation)[0]), max_size=3)
    return st.one_of(_field(name, part) for part in get_args(annotation))


def frames_of(union: Any) -> st.SearchStrategy[Any]:
    """Any frame of a union, with any legal fields and finite payloads."""
    return st.one_of(_frames_of_class(cls) for cls in get_args(union) or (union,))


def _frames_of_class(cls: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls, include_extras=True)
    fields = {name: _field(name, hints[name]) for name in cls.__struct_fields__}
    return st.builds(cls, **fields)


CLIENT_FRAMES = frames_of(f.ClientFrame)
SERVER_FRAMES = frames_of(f.ServerFrame)


@st.composite
def mutated(draw: st.DrawFn, originals: Sequence[Any]) -> Any:
    """One of some messages with a few pieces cut out, doubled, replaced or put in."""
    data = draw(st.sampled_from(originals))
    noise: Any = st.binary(max_size=6) if isinstance(data, bytes) else st.text(max_size=6)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 12)))
        piece = draw(st.just(data[start:stop] * 2) | noise)
        data = data[:start] + piece + data[stop:]
    return data
