"""AtariEnv: the client of the atari environment."""

from __future__ import annotations

from openenv.client.env import EnvClient

from .models import AtariAction, AtariObservation, AtariState


class AtariEnv(EnvClient[AtariAction, AtariObservation, AtariState]):
    """Holds the joystick."""
