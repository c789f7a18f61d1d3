"""COMPATIBILITY ONLY: the models as pydantic classes, which existing environments subclass.

Needs the extra `compat`. What is not bound to pydantic is re-exported from where it lives.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from openenv.core._lazy import lazy
from openenv.models import EnvironmentInfo as EnvironmentMetadata

# Of a server: a client that needs only the models must not load one.
_SERVER_NAMES = ("ConcurrencyConfig", "ServerCapacityStatus", "SessionInfo")
__getattr__ = lazy(__name__, dict.fromkeys(_SERVER_NAMES, "openenv.server.http_server"))
__all__ = [
    "Action",
    "CodeExecResult",
    "EnvironmentMetadata",
    "Observation",
    "State",
    *_SERVER_NAMES,
]


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, arbitrary_types_allowed=True
    )


class Action(_Strict):
    """What an agent does; see openenv.models.Action."""

    metadata: dict[str, Any] = Field(default_factory=dict)


class Observation(_Strict):
    """What an agent sees; see openenv.models.Observation."""

    done: bool = False
    truncated: bool = False
    reward: bool | int | float | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class State(BaseModel):
    """Who an episode is and how far it got; see openenv.models.State. Takes any further field."""

    model_config = ConfigDict(extra="allow", validate_assignment=True, arbitrary_types_allowed=True)

    episode_id: str | None = None
    step_count: int = Field(default=0, ge=0)


class CodeExecResult(BaseModel):
    """What became of a piece of code that was run."""

    stdout: str
    stderr: str
    exit_code: int
