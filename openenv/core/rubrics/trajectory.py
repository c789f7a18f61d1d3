"""COMPATIBILITY ONLY: see openenv.rubrics."""

from openenv.rubrics import ExponentialDiscountingTrajectoryRubric, TrajectoryRubric

__all__ = ["ExponentialDiscountingTrajectoryRubric", "TrajectoryRubric"]
