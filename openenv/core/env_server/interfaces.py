"""COMPATIBILITY ONLY: see openenv.environment; the models are those of .types."""

from openenv.core._lazy import lazy

_SOURCES = dict.fromkeys(("Environment", "Transform"), "openenv.environment") | dict.fromkeys(
    ("Action", "Observation", "State"), "openenv.core.env_server.types"
)
__all__ = list(_SOURCES)
__getattr__ = lazy(__name__, _SOURCES)
