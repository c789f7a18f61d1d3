# mypy: ignore-errors
# Run by a published release's own interpreter, whose `openenv` is not the one mypy sees.
# ruff: noqa: D101, D102, D103 - what these do is in openenv's own documentation
"""Serves an echo environment as users of openenv-core 0.3.0 and openenv 0.10.0 write it.

Announces {"url", "versions"} once it listens on a free port of the loopback.
"""

from __future__ import annotations

import argparse
from uuid import uuid4

from listening import serve

from openenv.core.env_server import Action, Environment, Observation, State, create_app


class EchoAction(Action):
    message: str


class EchoObservation(Observation):
    echoed_message: str = ""
    message_length: int = 0


class EchoEnvironment(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        self._state = State(episode_id=None, step_count=0)

    def reset(self, seed=None, episode_id=None, **kwargs):
        self._state = State(episode_id=episode_id or str(uuid4()), step_count=0)
        return EchoObservation(echoed_message="Echo environment ready!", done=False, reward=0.0)

    def step(self, action, timeout_s=None, **kwargs):
        self._state.step_count += 1
        length = len(action.message)
        return EchoObservation(
            echoed_message=action.message, message_length=length, done=False, reward=0.1 * length
        )

    @property
    def state(self):
        return self._state


class FaultyEchoEnvironment(EchoEnvironment):
    """Raises when told to, for tests of what a client then sees."""

    def step(self, action, timeout_s=None, **kwargs):
        if action.message == "raise":
            raise ValueError("told to raise")
        return super().step(action, timeout_s, **kwargs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--faulty", action="store_true")
    parser.add_argument("--sessions", type=int, default=65536)
    options = parser.parse_args()
    environment = FaultyEchoEnvironment if options.faulty else EchoEnvironment
    serve(
        create_app(
            environment,
            EchoAction,
            EchoObservation,
            env_name="echo",
            max_concurrent_envs=options.sessions,
        )
    )


if __name__ == "__main__":
    main()
