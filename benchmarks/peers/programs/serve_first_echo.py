# mypy: ignore-errors
# Run by the first release's own interpreter.
# ruff: noqa: D101, D102 - what these do is in openenv's own documentation
"""Serves an echo environment as users of openenv-core 0.1.0 write it: one shared instance.

Announces {"url", "versions"} once it listens on a free port of the loopback.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from listening import serve
from openenv_core.env_server import Action, Environment, Observation, State, create_app


@dataclass(kw_only=True)
class EchoAction(Action):
    message: str


@dataclass(kw_only=True)
class EchoObservation(Observation):
    echoed_message: str
    message_length: int = 0


class EchoEnvironment(Environment):
    def __init__(self):
        super().__init__()
        self._state = State(episode_id=str(uuid4()), step_count=0)

    def reset(self):
        self._state = State(episode_id=str(uuid4()), step_count=0)
        return EchoObservation(echoed_message="Echo environment ready!", done=False, reward=0.0)

    def step(self, action):
        self._state.step_count += 1
        length = len(action.message)
        return EchoObservation(
            echoed_message=action.message, message_length=length, done=False, reward=0.1 * length
        )

    @property
    def state(self):
        return self._state


if __name__ == "__main__":
    serve(create_app(EchoEnvironment(), EchoAction, EchoObservation, env_name="echo"))
