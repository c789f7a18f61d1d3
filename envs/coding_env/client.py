"""CodingEnv: the client of the coding environment."""

from __future__ import annotations

from openenv.client.env import EnvClient

from .models import CodeAction, CodeObservation, CodeState


class CodingEnv(EnvClient[CodeAction, CodeObservation, CodeState]):
    """Sends code and gets back what it has printed."""
