"""COMPATIBILITY ONLY: the import paths that existing environments and trainers use."""

from openenv.core._lazy import lazy
from openenv.core.env_server import __all__ as _server_names

_SOURCES = dict.fromkeys(_server_names, "openenv.core.env_server") | {
    "StepResult": "openenv.models",
    "EnvClient": "openenv.client.env",
    "GenericAction": "openenv.client.generic",
    "GenericEnvClient": "openenv.client.generic",
    "HTTPEnvClient": "openenv.client.http.client",
    "SyncEnvClient": "openenv.client.blocking.sync",
}
__all__ = list(_SOURCES)
__getattr__ = lazy(__name__, _SOURCES)
