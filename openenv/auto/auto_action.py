"""COMPATIBILITY ONLY: see openenv.hub.auto."""

from openenv.hub.auto import AutoAction

__all__ = ["AutoAction"]
