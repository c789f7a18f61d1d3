"""COMPATIBILITY ONLY: see openenv.rubrics."""

from openenv.rubrics import Gate, RubricDict, RubricList, Sequential, WeightedSum

__all__ = ["Gate", "RubricDict", "RubricList", "Sequential", "WeightedSum"]
