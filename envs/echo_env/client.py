"""EchoEnv: the client of the echo environment."""

from __future__ import annotations

from openenv.client.env import EnvClient
from openenv.models import State

from .models import EchoAction, EchoObservation


class EchoEnv(EnvClient[EchoAction, EchoObservation, State]):
    """Sends messages and gets them back."""
