"""COMPATIBILITY ONLY: see openenv.client.blocking.sync."""

from openenv.client.blocking.sync import SyncEnvClient

__all__ = ["SyncEnvClient"]
