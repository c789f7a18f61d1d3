"""EchoEnvironment: gives back what it is sent.

For tests, first steps and measurements of everything around it.
"""

from __future__ import annotations

from openenv.environment import Environment
from openenv.models import State

from ..models import EchoAction, EchoObservation

REWARD_PER_CHARACTER = 0.1


class EchoEnvironment(Environment[EchoAction, EchoObservation, State]):
    """Echoes each message; the reward is a tenth of its length. An episode never ends by itself."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    execution = "inline"

    def reset(self, seed: int | None = None, episode_id: str | None = None) -> EchoObservation:
        """Begin an episode; there is nothing for a seed to decide."""
        return EchoObservation(echoed_message="Echo environment ready!", reward=0.0)

    def step(self, action: EchoAction) -> EchoObservation:
        """Echo the message."""
        length = len(action.message)
        return EchoObservation(
            echoed_message=action.message,
            message_length=length,
            reward=length * REWARD_PER_CHARACTER,
        )
