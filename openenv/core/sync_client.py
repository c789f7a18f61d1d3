"""COMPATIBILITY ONLY: see openenv.client.sync."""

from openenv.client.sync import SyncEnvClient

__all__ = ["SyncEnvClient"]
