"""COMPATIBILITY ONLY: see openenv.client.http."""

from openenv.client.http import HTTPEnvClient
from openenv.models import StepResult

__all__ = ["HTTPEnvClient", "StepResult"]
