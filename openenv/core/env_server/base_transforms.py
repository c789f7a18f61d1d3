"""COMPATIBILITY ONLY: see openenv.environment."""

from openenv.environment import CompositeTransform, NullTransform

__all__ = ["CompositeTransform", "NullTransform"]
