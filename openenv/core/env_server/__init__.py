"""COMPATIBILITY ONLY: see openenv.environment, openenv.app and openenv.server."""

from openenv.core._lazy import lazy
from openenv.core.env_server import base_transforms, exceptions, interfaces, serialization

_LIGHT = (base_transforms, exceptions, interfaces, serialization)
_SERVER = ("HTTPEnvServer", "create_app", "create_fastapi_app")
_TYPES = ("ConcurrencyConfig", "EnvironmentMetadata", "HealthStatus", "ServerMode", "WSErrorCode")
_SOURCES = (
    {name: module.__name__ for module in _LIGHT for name in module.__all__}
    | dict.fromkeys(_SERVER, f"{__name__}.http_server")
    | dict.fromkeys(_TYPES, f"{__name__}.types")
)
__all__ = list(_SOURCES)
__getattr__ = lazy(__name__, _SOURCES)
