"""COMPATIBILITY ONLY: see openenv.providers."""

from openenv.core._lazy import lazy
from openenv.providers.base import ContainerProvider
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.kubernetes import KubernetesProvider
from openenv.providers.process import RuntimeProvider

_LIGHT = (ContainerProvider, KubernetesProvider, LocalDockerProvider, RuntimeProvider)
__all__ = [*(one.__name__ for one in _LIGHT), "UVProvider"]
__getattr__ = lazy(__name__, {"UVProvider": "openenv.providers.uv"})
