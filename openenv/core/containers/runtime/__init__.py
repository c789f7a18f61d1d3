"""COMPATIBILITY ONLY: see openenv.providers."""

from openenv.providers.kubernetes import KubernetesProvider

__all__ = ["KubernetesProvider"]
