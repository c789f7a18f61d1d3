"""What the echo environment takes and gives."""

from __future__ import annotations

from dataclasses import dataclass

from openenv.models import Action, Observation


@dataclass(kw_only=True)
class EchoAction(Action):
    """A message to be echoed."""

    message: str


@dataclass(kw_only=True)
class EchoObservation(Observation):
    """The message, and how many characters it has."""

    echoed_message: str
    message_length: int = 0
