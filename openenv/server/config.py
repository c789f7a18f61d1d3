"""ServerConfig: every setting of a server, and the only reader of its environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from openenv.errors import ConfigurationError
from openenv.protocol.frames import (
    BUFFER_BYTES,
    GRACE_S,
    MAX_MESSAGE_BYTES,
    SHARED_MEMORY_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SESSIONS = {"inline": 16_384, "thread": 64, "await": 16_384, "process": 1024}
"How many sessions a class that allows concurrent ones gets by default, by where it runs."

_OTHER_NAMES = {"max_concurrent_envs": "MAX_CONCURRENT_ENVS", "web": "ENABLE_WEB_INTERFACE"}
"Variables that existing environments and Spaces set."


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """What a server may do. None means no limit, unless a field says otherwise."""

    max_concurrent_envs: int | None = None
    "How many sessions at once; None asks the environment class (DEFAULT_SESSIONS)."
    execution: str | None = None
    "Where environments run, whatever their class says: inline, thread or process."
    workers: int | None = None
    """How many processes run environments; None: none, or where they run in processes, as many as
    there are cores for this one."""
    worker_grace_s: float = 5.0
    "How much longer than its limit a call in a worker process may take before that is killed."
    session_timeout_s: float | None = 900.0
    """A session in which nothing runs, and that no live link holds, is ended after this long.

    This is how long a client over HTTP may think, and for how long one that has gone holds a slot.
    """
    idle_timeout_s: float | None = None
    "A session in which nothing runs is ended after this long, live link or not."
    step_timeout_s: float | None = None
    "The longest that reset or step may take; a client's timeout_s can only shorten it."
    close_timeout_s: float = 10.0
    "How long a closing session waits for the call that still runs before it abandons it."
    drain_timeout_s: float = 30.0
    "How long running steps may take to finish when the server is told to stop."
    grace_s: float = GRACE_S
    "How long a link outlives its last socket."
    max_message_bytes: int = MAX_MESSAGE_BYTES
    "The largest message taken from a client."
    buffer_bytes: int = BUFFER_BYTES
    "How much unacknowledged output is kept for a client before its requests are no longer read."
    shared_memory_bytes: int = SHARED_MEMORY_BYTES
    """How much memory to share, at most, with each client on the same host that gets large arrays;
    0 sends them as bytes."""
    max_queued_requests: int = 1024
    "How many requests may wait in one session."
    keepalive_s: float | None = 20.0
    "How often a socket is pinged; only announced here, serve.py does it."
    watch: bool = False
    "Let clients watch the sessions of others, with their actions and observations."
    web: bool = False
    "Serve the page at /web; of the environment's variables ENABLE_WEB_INTERFACE says so too."
    debug: bool = False
    "Send tracebacks of environments to clients."

    def __post_init__(self) -> None:
        """Refuse settings that make no sense."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float) or isinstance(value, bool) or value > 0:
                continue
            if field.name != "shared_memory_bytes":
                raise ConfigurationError(f"{field.name} must be greater than 0, not {value}")
            if value < 0:
                raise ConfigurationError(f"{field.name} must be 0 or greater, not {value}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **given: object) -> ServerConfig:
        """Return a config; what is not given comes from OPENENV_<FIELD>, or from _OTHER_NAMES."""
        values: dict[str, object] = {}
        for field in fields(cls):
            name = f"OPENENV_{field.name.upper()}"
            text = environ.get(name, environ.get(_OTHER_NAMES.get(field.name, ""), ""))
            if text:
                values[field.name] = _parse(name, text, str(field.type))
        values.update({name: value for name, value in given.items() if value is not None})
        return cls(**values)  # type: ignore[arg-type]


def _parse(name: str, text: str, kind: str) -> object:
    if kind == "bool":
        return text.lower() in ("1", "true", "yes")
    if kind.startswith("str"):
        return text
    try:
        return int(text) if kind.startswith("int") else float(text)
    except ValueError:
        raise ConfigurationError(f"{name} must be a number, not {text!r}") from None
