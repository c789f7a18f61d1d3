"""COMPATIBILITY ONLY: see openenv.rubrics."""

from openenv.rubrics import Rubric

__all__ = ["Rubric"]
