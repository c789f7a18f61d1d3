"""The plain data that environments and clients exchange.

No behaviour and no encoding (codec.py does that). Any dataclass, `msgspec.Struct` or dict works in
their place; these bases only save typing. See environment.py for who makes and who reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic

import msgspec
from typing_extensions import TypeVar

ActT = TypeVar("ActT", default=Any)
ObsT = TypeVar("ObsT", default=Any)
StateT = TypeVar("StateT", default=Any)

Reward = bool | int | float | None


@dataclass(kw_only=True)
class Action:
    """Base for actions: subclass it with `@dataclass` and add fields."""

    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Observation:
    """Base for observations: subclass it with `@dataclass` and add fields.

    `done` ends the episode by the task's own rules, `truncated` ends it from outside (a time
    limit); `reward` is that of the step which led here, None after reset.
    """

    done: bool = False
    truncated: bool = False
    reward: Reward = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class State:
    """Base for an episode's state: who it is and how many steps it has taken."""

    episode_id: str | None = None
    step_count: int = 0


class StepResult(msgspec.Struct, Generic[ObsT], gc=False):
    """What `reset` and `step` of a client return.

    A Struct, not a dataclass: one is made for every step, and this one costs a quarter. Garbage
    collection does not look into it: references that go round through a result are never freed.
    """

    observation: ObsT
    reward: Reward = None
    done: bool = False
    truncated: bool = False
    metadata: dict[str, Any] = {}


@dataclass(kw_only=True)
class EnvironmentInfo:
    """What an environment says of itself; /metadata shows it."""

    name: str
    description: str = ""
    version: str = "1.0.0"
    author: str | None = None
    readme_content: str | None = None
    documentation_url: str | None = None
