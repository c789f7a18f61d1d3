"""REPLEnv: the client of the REPL environment."""

from __future__ import annotations

from openenv.client.env import EnvClient

from .models import REPLAction, REPLObservation, REPLState


class REPLEnv(EnvClient[REPLAction, REPLObservation, REPLState]):
    """Sends code that works on a context, until it has an answer."""
