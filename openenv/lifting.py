"""Lifting: `done`, `truncated`, `reward` and `metadata` out of an observation, to travel beside it.

Makes, once per class, functions that take observations apart: one by one, or many of one class
column by column. Putting them together again is codec.py's affair.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from itertools import starmap
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

LIFTED = ("reward", "done", "truncated", "metadata")
"Fields of an observation that travel beside it, in the order in which frames have them."

_PLAIN_REWARDS = frozenset((float, int, bool, type(None)))


class Columns(NamedTuple):
    """Many observations: what each of them holds, and what travels beside them."""

    payloads: list[Any]
    rewards: list[bool | int | float | None]
    done: list[bool]
    truncated: list[bool]
    metadata: list[dict[str, Any] | None] | None
    "None if no observation has any."


def lifter(cls: type, build: Callable[..., T]) -> Callable[[int, Any], T]:
    """Return a function that makes a frame of an id and an observation of exactly this class.

    It calls `build(id, payload, reward, done, truncated, metadata)`. Raises TypeError, when called,
    if a reward is no number.
    """
    if hasattr(cls, "model_dump"):
        return lambda number, observation: build(number, *_lift_dict(observation.model_dump()))
    names = field_names(cls)
    if not names:
        if issubclass(cls, dict):
            return lambda number, observation: build(number, *_lift_dict(observation))
        return lambda number, observation: build(number, observation)
    has_reward, has_done, has_truncated, has_metadata = (name in names for name in LIFTED)
    payload_cls, values = _payload_of(cls, names)

    def lift(number: int, observation: Any) -> T:
        reward = observation.reward if has_reward else None
        return build(
            number,
            payload_cls(*values(observation)),
            reward if type(reward) in _PLAIN_REWARDS else _plain_reward(reward),
            bool(observation.done) if has_done else False,
            bool(observation.truncated) if has_truncated else False,
            (observation.metadata or None) if has_metadata else None,
        )

    return lift


def column_lifter(cls: type) -> Callable[[Sequence[Any]], Columns]:
    """Return a function that takes many observations of exactly this class apart.

    No Python code runs for each of them if the class has fields. Raises TypeError, when called, if
    a reward is no number.
    """
    names = field_names(cls)
    if hasattr(cls, "model_dump") or not names:
        lift_one = lifter(cls, _without_number)
        return lambda observations: _transposed(
            [lift_one(0, observation) for observation in observations]
        )
    payload_cls, values = _payload_of(cls, names)
    columns = [attrgetter(name) if name in names else None for name in LIFTED]
    get_reward, get_done, get_truncated, get_metadata = columns

    def lift(observations: Sequence[Any]) -> Columns:
        count = len(observations)
        rewards = list(map(get_reward, observations)) if get_reward else [None] * count
        metadata = list(map(get_metadata, observations)) if get_metadata else None
        return Columns(
            list(starmap(payload_cls, map(values, observations))),
            rewards if _PLAIN_REWARDS.issuperset(map(type, rewards)) else _plain_all(rewards),
            list(map(bool, map(get_done, observations))) if get_done else [False] * count,
            list(map(bool, map(get_truncated, observations))) if get_truncated else [False] * count,
            metadata if metadata is not None and any(metadata) else None,
        )

    return lift


def field_names(cls: Any) -> tuple[str, ...]:
    """Return the fields of a Struct or dataclass; none for other classes."""
    if hasattr(cls, "__struct_fields__"):
        return tuple(cls.__struct_fields__)
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    return ()


def _payload_of(
    cls: type, names: Sequence[str]
) -> tuple[Callable[..., Any], Callable[[Any], tuple[Any, ...]]]:
    """Return the class of the payload and how to get its values from an observation.

    It is a Struct of the fields that are not lifted: the cheapest thing that encodes as a map.
    """
    kept = [name for name in names if name not in LIFTED]
    payload_cls = msgspec.defstruct(cls.__name__, [(name, Any) for name in kept], gc=False)
    if not kept:
        return payload_cls, lambda _: ()
    if len(kept) == 1:
        get = attrgetter(kept[0])
        return payload_cls, lambda value: (get(value),)
    return payload_cls, attrgetter(*kept)


def _without_number(
    _: int,
    payload: Any,
    reward: Any = None,
    done: bool = False,
    truncated: bool = False,
    metadata: dict[str, Any] | None = None,
) -> tuple[Any, ...]:
    return payload, reward, done, truncated, metadata


def _transposed(rows: list[tuple[Any, ...]]) -> Columns:
    payloads, rewards, done, truncated, metadata = map(list, zip(*rows, strict=True))
    return Columns(payloads, rewards, done, truncated, metadata if any(metadata) else None)


def _lift_dict(observation: dict[str, Any]) -> tuple[Any, ...]:
    payload = {name: value for name, value in observation.items() if name not in LIFTED}
    return (
        payload,
        _plain_reward(observation.get("reward")),
        bool(observation.get("done", False)),
        bool(observation.get("truncated", False)),
        observation.get("metadata") or None,
    )


def _plain_all(rewards: list[Any]) -> list[bool | int | float | None]:
    return [_plain_reward(reward) for reward in rewards]


def _plain_reward(reward: Any) -> bool | int | float | None:
    """Return a numpy or torch scalar as a Python number. Raises TypeError for anything else."""
    if type(reward) in _PLAIN_REWARDS:
        return reward  # type: ignore[no-any-return]
    value, item = reward, getattr(reward, "item", None)
    if callable(item):
        # An array, or a tensor, of several numbers has none.
        with suppress(ValueError, RuntimeError):
            value = item()
    elif isinstance(reward, int | float):
        value = float(reward)
    if type(value) not in _PLAIN_REWARDS:
        raise TypeError(f"returned the reward {reward!r}, which is not a number")
    return value  # type: ignore[no-any-return]
