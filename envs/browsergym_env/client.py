"""BrowserGymEnv: the client of the browsergym environment."""

from __future__ import annotations

from openenv.client.env import EnvClient

from .models import BrowserGymAction, BrowserGymObservation, BrowserGymState


class BrowserGymEnv(EnvClient[BrowserGymAction, BrowserGymObservation, BrowserGymState]):
    """Uses a browser."""
