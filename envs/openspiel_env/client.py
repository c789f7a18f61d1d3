"""OpenSpielEnv: the client of the openspiel environment."""

from __future__ import annotations

from openenv.client.env import EnvClient

from .models import OpenSpielAction, OpenSpielObservation, OpenSpielState


class OpenSpielEnv(EnvClient[OpenSpielAction, OpenSpielObservation, OpenSpielState]):
    """Plays one player of a game of OpenSpiel."""
