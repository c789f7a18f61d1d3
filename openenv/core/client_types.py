"""COMPATIBILITY ONLY: see openenv.models."""

from openenv.models import StepResult

__all__ = ["StepResult"]
