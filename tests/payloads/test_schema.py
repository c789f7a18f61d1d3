"""Schemas are read once, for samplers, forms, documents and checks."""

from typing import Any

import pytest

from openenv.errors import ConfigurationError
from openenv.payloads.schema import (
    bounds,
    integer_bounds,
    is_null,
    properties,
    reference_to,
    required,
    resolve,
    without_all_of,
)


def test_a_reference_is_followed_to_a_part_that_is_none() -> None:
    root = {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"type": "string"}}}
    assert resolve({"$ref": "#/$defs/A"}, root) == {"type": "string"}


def test_a_part_without_a_reference_is_itself() -> None:
    part = {"type": "integer"}
    assert resolve(part, {}) is part
    assert resolve(True, {}) is True


@pytest.mark.parametrize("name", ["Plain", "a/b", "a~b", "Tree[int]", "~1"])
def test_a_reference_to_a_definition_of_any_name_finds_it(name: str) -> None:
    root = {"$defs": {name: {"title": name}}}
    assert resolve({"$ref": reference_to(name)}, root) == {"title": name}


@pytest.mark.parametrize("reference", ["#/$defs/None", "#/properties/x", "elsewhere.json"])
def test_a_reference_that_leads_nowhere_is_an_error(reference: str) -> None:
    with pytest.raises(ConfigurationError):
        resolve({"$ref": reference}, {"$defs": {}, "properties": []})


def test_references_in_a_circle_are_an_error() -> None:
    root = {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}
    with pytest.raises(ConfigurationError):
        resolve({"$ref": "#/$defs/A"}, root)


@pytest.mark.parametrize(
    ("schema", "of_numbers", "of_integers"),
    [
        ({}, (None, None), (None, None)),
        ({"minimum": 0, "maximum": 9}, (0, 9), (0, 9)),
        ({"minimum": 0.5, "maximum": 2.5}, (0.5, 2.5), (1, 2)),
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 9}, (0, 9), (1, 8)),
        ({"exclusiveMinimum": 0.5, "exclusiveMaximum": 2.5}, (0.5, 2.5), (1, 2)),
        ({"minimum": 1, "exclusiveMinimum": 5}, (5, None), (6, None)),
        ({"maximum": 9, "exclusiveMaximum": 5}, (None, 5), (None, 4)),
        ({"minimum": 7, "exclusiveMinimum": 5}, (7, None), (7, None)),
    ],
)
def test_the_tightest_bounds_hold(
    schema: dict[str, Any], of_numbers: tuple[Any, Any], of_integers: tuple[Any, Any]
) -> None:
    assert bounds(schema) == of_numbers
    assert integer_bounds(schema) == of_integers


def test_fields_and_which_are_required_may_be_missing_or_null() -> None:
    schema = {"properties": {"a": {"type": "null"}, "b": True}, "required": ["b"]}
    assert list(properties(schema)) == ["a", "b"]
    assert required(schema) == ("b",)
    assert properties({}) == properties({"properties": None}) == {}
    assert required({}) == required({"required": None}) == ()


def test_null_is_told_from_other_types() -> None:
    assert is_null({"type": "null"})
    assert not is_null({"type": "string"})
    assert not is_null("null")


def test_parts_of_all_of_become_keys_of_the_schema_whose_own_win() -> None:
    schema = {"allOf": [{"type": "integer", "title": "Inner"}, {"minimum": 1}], "title": "Outer"}
    assert without_all_of(schema) == {"type": "integer", "minimum": 1, "title": "Outer"}
    plain = {"type": "string"}
    assert without_all_of(plain) is plain
