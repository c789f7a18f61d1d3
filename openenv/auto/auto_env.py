"""COMPATIBILITY ONLY: see openenv.hub.auto."""

from openenv.hub.auto import AutoEnv

__all__ = ["AutoEnv"]
