"""ActionSampler: a policy that knows nothing but the actions' JSON schema, and draws from it.

For smoke tests and first looks at an environment. Covers what schemas of payload classes hold;
knows nothing of servers.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any, TypeVar

from openenv.errors import ConfigurationError
from openenv.payloads.schema import (
    bounds,
    integer_bounds,
    is_null,
    properties,
    required,
    resolve,
    without_all_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS = ("alpha", "beacon", "cedar", "delta", "ember", "fjord", "granite", "harbor", "indigo")
MAX_ITEMS = 3
"The most items of an array whose schema sets no bounds."
MAX_DEPTH = 8
"Below this depth optional parts are left out, because schemas may contain themselves."

Number = TypeVar("Number", int, float)

_INTEGERS = (0, 9)
_NUMBERS = (-1.0, 1.0)
_SKIPPED = frozenset({"metadata"})
"Optional properties of every action that no environment acts on."


class ActionSampler:
    """`policy(observation)` returns an action drawn from the schema.

    Where that has `examples`, one of them; where it says `"among": "legal_actions"`, one of those
    that the observation's field of this name lists. The same seed draws the same actions in the
    same order, and in an episode of a seed the same actions whatever is played beside it. Raises
    ConfigurationError for a schema that it cannot draw from.
    """

    def __init__(self, schema: Mapping[str, Any], seed: int | str | None = None) -> None:
        self._schema = schema
        self._random = random.Random(seed)
        self._observation: Any = None
        self()

    def __call__(self, observation: Any = None) -> Any:
        """Return an action."""
        self._observation = observation
        return self._sample(self._schema, 0)

    def for_episode(self, _: str, seed: int | None) -> ActionSampler:
        """Return the sampler of an episode."""
        # Not the seed itself: an environment that seeds `random` with it would draw the same
        # numbers.
        words = None if seed is None else f"actions of {seed}"
        return ActionSampler(self._schema, words or self._random.getrandbits(64))

    def _sample(self, schema: Any, depth: int) -> Any:
        if schema is True or not schema:
            return None
        if depth > 2 * MAX_DEPTH:
            raise ConfigurationError(
                "actions of this schema contain themselves without end: write a policy of your own"
            )
        if "$ref" in schema:
            return self._sample(resolve(schema, self._schema), depth + 1)
        listed = self._listed(schema)
        if listed:
            return self._random.choice(listed)
        if "const" in schema:
            return schema["const"]
        if "array" in schema:
            return self._elements(**schema["array"])
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._sample(self._choose(schema[key], depth), depth + 1)
        if "allOf" in schema:
            return self._sample(without_all_of(schema), depth + 1)
        return self._sample_type(schema, depth)

    def _listed(self, schema: Mapping[str, Any]) -> Any:
        """Return the values that there are, where they are listed."""
        if "among" in schema:
            return _field(self._observation, schema["among"])
        return schema.get("examples") or schema.get("enum")

    def _sample_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "null")
        if isinstance(kind, list):
            kind = self._choose(kind, depth)
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer":
                return self._integer(schema)
            case "number":
                return self._random.uniform(*_closed(bounds(schema), *_NUMBERS))
            case "boolean":
                return self._random.random() < 0.5
            case "null":
                return None
        raise ConfigurationError(f"actions of type {kind!r} cannot be drawn: write a policy")

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        needed = required(schema)
        return {
            name: self._sample(inner, depth + 1)
            for name, inner in properties(schema).items()
            if name in needed or (name not in _SKIPPED and depth < MAX_DEPTH)
        }

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = [self._sample(inner, depth + 1) for inner in schema.get("prefixItems", ())]
        items = schema.get("items")
        if first and not isinstance(items, dict):
            return first
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", math.inf), max(least, MAX_ITEMS))
        count = (
            least if depth >= MAX_DEPTH else self._random.randint(min(max(least, 1), most), most)
        )
        inner = items if isinstance(items, dict) else {"type": "number"}
        return first + [self._sample(inner, depth + 1) for _ in range(count - len(first))]

    def _elements(self, dtype: str, shape: list[int], low: Any, high: Any) -> Any:
        """Return an array of this shape as lists; bounds are for all elements, or of this shape."""
        if shape:
            count, *rest = shape
            lows, highs = (
                bound if isinstance(bound, list) else [bound] * count for bound in (low, high)
            )
            return [self._elements(dtype, rest, *ends) for ends in zip(lows, highs, strict=True)]
        ends = {"minimum": low, "maximum": high}
        bounds = {name: end for name, end in ends.items() if end is not None}
        kind = "number" if dtype.startswith("float") else "integer"
        return self._sample_type({"type": kind, **bounds}, 0)

    def _string(self, schema: Mapping[str, Any]) -> str:
        if "pattern" in schema and not schema.get("default"):
            raise ConfigurationError(
                f"strings that match {schema['pattern']!r} cannot be drawn: write a policy"
            )
        if "pattern" in schema:
            return str(schema["default"])
        if "alphabet" in schema:
            least = schema.get("minLength", 0)
            most = min(schema.get("maxLength", math.inf), max(least, MAX_ITEMS))
            count = self._random.randint(least, most)
            return "".join(self._random.choices(schema["alphabet"], k=count))
        text = " ".join(self._random.sample(WORDS, self._random.randint(1, 3)))
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        while len(text) < least:
            text += " " + self._random.choice(WORDS)
        return text[: int(most)] if most < len(text) else text

    def _integer(self, schema: Mapping[str, Any]) -> int:
        step = int(schema.get("multipleOf", 1))
        low, high = _closed(integer_bounds(schema), *_INTEGERS)
        low, high = math.ceil(low / step), math.floor(high / step)
        if low > high:
            raise ConfigurationError(f"no integer fits {dict(schema)}: write a policy")
        return step * self._random.randint(low, high)

    def _choose(self, options: list[Any], depth: int) -> Any:
        """Draw an option; deep down one that ends, if there is one."""
        if depth >= MAX_DEPTH:
            ends = [option for option in options if option == "null" or is_null(option)]
            options = ends or options
        return self._random.choice(options)


def _field(observation: Any, name: str) -> Any:
    if isinstance(observation, dict):
        return observation.get(name)
    return getattr(observation, name, None)


def _closed(
    ends: tuple[Number | None, Number | None], low: Number, high: Number
) -> tuple[Number, Number]:
    """Return a range without open ends: where one is open, it is as wide as `low` to `high`."""
    least, most = ends
    width = high - low
    if least is None:
        return (low, high) if most is None else (most - width, most)
    return least, least + width if most is None else most
