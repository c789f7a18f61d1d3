"""COMPATIBILITY ONLY: see openenv.client.env."""

from openenv.client.env import EnvClient
from openenv.models import StepResult

__all__ = ["EnvClient", "StepResult"]
