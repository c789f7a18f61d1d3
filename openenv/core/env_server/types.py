"""COMPATIBILITY ONLY: the models as pydantic classes, which existing environments subclass.

Needs the extra `compat`. What is not bound to pydantic is re-exported from where it lives.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from openenv.core._lazy import lazy
from openenv.models import EnvironmentInfo as EnvironmentMetadata

# Of a server: a client that needs only the models must not load one.
_SERVER_NAMES = ("ConcurrencyConfig", "ServerCapacityStatus", "ServerMode", "SessionInfo")
__getattr__ = lazy(__name__, dict.fromkeys(_SERVER_NAMES, "openenv.server.http.http_server"))
__all__ = [
    "Action",
    "CodeExecResult",
    "EnvironmentMetadata",
    "HealthResponse",
    "HealthStatus",
    "Observation",
    "State",
    "WSErrorCode",
    "WSErrorResponse",
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


class HealthStatus(StrEnum):
    """What /health may say."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DEGRADED = "degraded"


class HealthResponse(BaseModel):
    """What /health says, as far as every server does."""

    status: HealthStatus


class WSErrorCode(StrEnum):
    """The codes of errors over a WebSocket without a subprotocol."""

    INVALID_JSON = "INVALID_JSON"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    EXECUTION_ERROR = "EXECUTION_ERROR"
    CAPACITY_REACHED = "CAPACITY_REACHED"
    FACTORY_ERROR = "FACTORY_ERROR"
    SESSION_ERROR = "SESSION_ERROR"


class WSErrorResponse(BaseModel):
    """An error over a WebSocket without a subprotocol; the data is its message and code."""

    type: Literal["error"] = "error"
    data: dict[str, Any]
