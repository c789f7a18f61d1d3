# mypy: ignore-errors
# Run by a published release's own interpreter, whose `openenv` is not the one mypy sees.
# ruff: noqa: D101 - what these do is in openenv's own documentation
"""The echo environment's client as users of openenv-core 0.3.0 and openenv 0.10.0 write it."""

from __future__ import annotations

from openenv.core.client_types import StepResult
from openenv.core.env_client import EnvClient
from openenv.core.env_server.types import Action, Observation, State


class EchoAction(Action):
    message: str


class EchoObservation(Observation):
    echoed_message: str = ""
    message_length: int = 0


class EchoEnv(EnvClient[EchoAction, EchoObservation, State]):
    """Spells out the three hooks, which those releases require."""

    def _step_payload(self, action):
        return {"message": action.message}

    def _parse_result(self, payload):
        observation = payload.get("observation", {})
        return StepResult(
            observation=EchoObservation(
                echoed_message=observation.get("echoed_message", ""),
                message_length=observation.get("message_length", 0),
                done=payload.get("done", False),
                reward=payload.get("reward"),
            ),
            reward=payload.get("reward"),
            done=payload.get("done", False),
        )

    def _parse_state(self, payload):
        return State(episode_id=payload.get("episode_id"), step_count=payload.get("step_count", 0))
