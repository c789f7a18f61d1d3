"""COMPATIBILITY ONLY: see openenv.hub.auto."""

from openenv.hub.auto import AutoAction, AutoEnv

__all__ = ["AutoAction", "AutoEnv"]
