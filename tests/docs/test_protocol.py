"""The specification of the protocol says what the code does."""

import json
import re
import types
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from openenv import arrays
from openenv.errors import TABLE, Unsupported
from openenv.protocol import frames as f
from openenv.protocol import legacy
from openenv.protocol.peer import TRANSITIONS
from openenv.protocol.wire import JSON
from tests.docs.test_links import ROOT

PAGE = (ROOT / "docs/reference/protocol.md").read_text(encoding="utf-8")

SIDES: dict[str, list[Any]] = {
    "Frames the client sends": [f.ClientHello, *get_args(f.ClientFrame)],
    "Frames the server sends": [f.ServerHello, *get_args(f.ServerFrame)],
}
FRAMES = [(side, cls) for side, classes in SIDES.items() for cls in classes]
every_frame = pytest.mark.parametrize(
    ("side", "cls"), FRAMES, ids=[cls.__name__ for _, cls in FRAMES]
)

TYPES: dict[Any, str] = {
    f.RequestId: "id",
    f.Seconds: "seconds",
    f.Timeout: "timeout",
    f.Payload: "payload",
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    bytes: "bytes",
    dict[str, Any]: "object",
    list[str]: "list of strings",
    list[f.Summary]: "list of summaries",
    list[f.RequestId]: "list of ids",
    list[int]: "list of integers",
    list[f.Reward]: "list of rewards",
    list[bool]: "list of booleans",
    list[dict[str, Any] | None]: "list of objects",
    type(None): "null",
}


def sections(text: str, level: int) -> dict[str, str]:
    """Return the text under each heading of a level, by its title without markup."""
    parts = re.split(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)[1:]
    return {
        title.replace("`", ""): body for title, body in zip(parts[::2], parts[1::2], strict=True)
    }


def table(text: str) -> list[list[str]]:
    """Return the cells of a section's first table, without its head and without markup."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    first = text[text.index(lines[0]) :].split("\n\n")[0]
    rows = [line.split("|")[1:-1] for line in first.splitlines()[2:]]
    return [[cell.strip().replace("`", "") for cell in row] for row in rows]


def fences(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


PARTS = sections(PAGE, 2)


def type_name(annotation: Any) -> str:
    if annotation == f.Reward:
        return "reward or null"
    if annotation in TYPES:
        return TYPES[annotation]
    assert get_origin(annotation) in (types.UnionType, Union)
    return " or ".join(type_name(part) for part in get_args(annotation))


def default_of(cls: Any, name: str) -> str:
    field = next(field for field in msgspec.structs.fields(cls) if field.name == name)
    if field.default_factory is not msgspec.NODEFAULT:
        return json.dumps(field.default_factory())
    return "" if field.required else json.dumps(field.default)


@pytest.mark.parametrize("side", SIDES)
def test_every_frame_has_its_section(side: str) -> None:
    tags = [cls.__struct_config__.tag for cls in SIDES[side]]
    assert sorted(sections(PARTS[side], 3)) == sorted(tags)


@every_frame
def test_the_fields_of_a_frame_are_as_specified(side: str, cls: Any) -> None:
    section = sections(PARTS[side], 3)[cls.__struct_config__.tag]
    hints = get_type_hints(cls, include_extras=True)
    assert [row[:4] for row in table(section)] == [
        [str(position), name, type_name(hints[name]), default_of(cls, name)]
        for position, name in enumerate(cls.__struct_fields__, 1)
    ]


def test_the_fields_of_a_summary_are_as_specified() -> None:
    hints = get_type_hints(f.Summary, include_extras=True)
    assert [row[:3] for row in table(PARTS["Watching"])] == [
        [name, type_name(hints[name]), default_of(f.Summary, name)]
        for name in f.Summary.__struct_fields__
    ]


@every_frame
def test_the_example_of_a_frame_is_one(side: str, cls: Any) -> None:
    [example] = fences(sections(PARTS[side], 3)[cls.__struct_config__.tag], "json")
    assert type(JSON.make_decoder(cls).decode(example)) is cls


@pytest.mark.parametrize("tag", ["call", "fork", "snapshot", "restore"])
def test_a_reserved_request_is_answered_with_unsupported(tag: str) -> None:
    [example] = fences(sections(PARTS["Reserved frames"], 3)[tag], "json")
    [frame] = JSON.decoder(f.ClientFrame).decode(f"[0,[{example}]]")[1]
    assert frame == f.Malformed(json.loads(example)[1], frame.message, Unsupported.code)


def test_the_states_of_a_link_are_as_drawn() -> None:
    drawing = fences(PARTS["The link"], "mermaid")[0]
    drawn = re.findall(r"(\w+) --> (\w+): (\w+)", drawing)
    assert sorted(drawn) == sorted(
        (before.value, after.value, what) for (before, what), after in TRANSITIONS.items()
    )


@pytest.mark.parametrize("title", ["Limits", "Close codes"])
def test_numbers_are_as_specified(title: str) -> None:
    for name, value, *_ in table(sections(PARTS["The link"], 3)[title]):
        assert str(getattr(f, name)) == value


def test_every_close_code_is_specified() -> None:
    named = {row[0] for row in table(sections(PARTS["The link"], 3)["Close codes"])}
    assert named == {name for name in dir(f) if name.startswith("CLOSE_")}


def test_every_error_is_in_the_table_with_what_it_carries() -> None:
    written = {row[0]: row[1:5] for row in table(PARTS["Errors"])}
    assert written == {
        code: [
            cls.__name__,
            str(cls.http_status),
            "yes" if cls.retryable else "no",
            " ".join(cls.fields),
        ]
        for code, cls in TABLE.items()
    }


def test_every_dtype_is_named() -> None:
    section = sections(PARTS["Encodings"], 3)["Arrays"]
    assert re.findall(r"`([|<]\w+)`", section) == list(arrays._DTYPES)


def test_the_legacy_codes_are_as_specified() -> None:
    text = PARTS["Legacy dialect"]
    written = {row[0]: row[1] for row in table(text[text.index("| legacy code |") :])}
    assert set(written) == {*legacy._LEGACY_TO_CODE}
    for ours, theirs in legacy._CODE_TO_LEGACY.items():
        assert ours in written[theirs]
