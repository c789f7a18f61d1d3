"""COMPATIBILITY ONLY: see openenv.environment."""

from openenv.environment import CompositeTransform

__all__ = ["CompositeTransform"]
