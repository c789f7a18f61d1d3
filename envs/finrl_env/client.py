"""FinRLEnv: the client of the trading environment."""

from __future__ import annotations

from openenv.client.env import EnvClient

from .models import FinRLAction, FinRLObservation, FinRLState


class FinRLEnv(EnvClient[FinRLAction, FinRLObservation, FinRLState]):
    """Trades."""
