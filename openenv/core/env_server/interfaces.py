"""COMPATIBILITY ONLY: see openenv.environment and openenv.llm.chat; the models are .types'."""

from openenv.core._lazy import lazy

_SOURCES = (
    dict.fromkeys(("Environment", "Transform"), "openenv.environment")
    | dict.fromkeys(("Message", "ModelTokenizer"), "openenv.llm.chat")
    | dict.fromkeys(("Action", "Observation", "State"), "openenv.core.env_server.types")
)
__all__ = list(_SOURCES)
__getattr__ = lazy(__name__, _SOURCES)
