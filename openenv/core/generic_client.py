"""COMPATIBILITY ONLY: see openenv.client.generic."""

from openenv.client.generic import GenericAction, GenericEnvClient

__all__ = ["GenericAction", "GenericEnvClient"]
