"""COMPATIBILITY ONLY: see openenv.client.http.client."""

from openenv.client.http.client import HTTPEnvClient
from openenv.models import StepResult

__all__ = ["HTTPEnvClient", "StepResult"]
