"""The atari environment: the games of the Atari 2600, in the Arcade Learning Environment."""

from .client import AtariEnv
from .models import AtariAction, AtariObservation, AtariState

__all__ = ["AtariAction", "AtariEnv", "AtariObservation", "AtariState"]
