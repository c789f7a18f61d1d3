"""COMPATIBILITY ONLY: see openenv.environment, openenv.app and openenv.server."""

from openenv.core._lazy import lazy

_SOURCES = (
    dict.fromkeys(("Environment", "Transform", "CompositeTransform"), "openenv.environment")
    | dict.fromkeys(("Action", "Observation", "State"), "openenv.core.env_server.types")
    | dict.fromkeys(("EnvironmentMetadata", "ConcurrencyConfig"), "openenv.core.env_server.types")
    | dict.fromkeys(("HTTPEnvServer", "create_app"), "openenv.core.env_server.http_server")
)
__all__ = list(_SOURCES)
__getattr__ = lazy(__name__, _SOURCES)
