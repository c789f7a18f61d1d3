"""COMPATIBILITY ONLY: see openenv.providers."""

from openenv.providers.base import ContainerProvider
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.kubernetes import KubernetesProvider

__all__ = ["ContainerProvider", "KubernetesProvider", "LocalDockerProvider"]
