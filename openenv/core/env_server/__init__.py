"""COMPATIBILITY ONLY: see openenv.environment, openenv.app and openenv.server."""

from openenv.core._lazy import lazy
from openenv.core.env_server import base_transforms, exceptions, interfaces, serialization

_LIGHT = (base_transforms, exceptions, interfaces, serialization)
_APPS = [f"create_{kind}app" for kind in ("", "fastapi_", "web_interface_", "hf_web_interface_")]
_TYPES = ("ConcurrencyConfig", "EnvironmentMetadata", "HealthStatus", "ServerMode", "WSErrorCode")
_SOURCES = (
    {name: module.__name__ for module in _LIGHT for name in module.__all__}
    | dict.fromkeys(("HTTPEnvServer", *_APPS), f"{__name__}.http_server")
    | dict.fromkeys(_TYPES, f"{__name__}.types")
)
__all__ = list(_SOURCES)
__getattr__ = lazy(__name__, _SOURCES)
