# mypy: ignore-errors
# Run by the first release's own interpreter.
# ruff: noqa: D101, D103 - names say it all, as in the tests
"""Plays scenarios against a server with the first release's HTTP client; tells what it saw.

Each line {"scenario", "url"} is answered with one JSON object, as play.py does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from answering import answer_scenarios
from openenv_core import HTTPEnvClient, StepResult


@dataclass
class EchoAction:
    message: str


@dataclass
class EchoObservation:
    echoed_message: str
    message_length: int


class EchoEnv(HTTPEnvClient[EchoAction, EchoObservation]):
    def _step_payload(self, action):
        return {"message": action.message}

    def _parse_result(self, payload):
        observation = payload["observation"]
        return StepResult(
            observation=EchoObservation(
                observation["echoed_message"], observation.get("message_length", 0)
            ),
            reward=payload.get("reward"),
            done=payload.get("done", False),
        )

    def _parse_state(self, payload):
        return payload


def episode(url):
    env = EchoEnv(base_url=url)
    return {
        "reset": asdict(env.reset()),
        "step": asdict(env.step(EchoAction(message="Hello, World!"))),
        "state": env.state(),
    }


def two_clients(url):
    envs = [EchoEnv(base_url=url), EchoEnv(base_url=url)]
    for env in envs:
        env.reset()
    for env in (envs[0], envs[1], envs[0]):
        env.step(EchoAction(message="x"))
    return {"step_counts": [env.state()["step_count"] for env in envs]}


if __name__ == "__main__":
    answer_scenarios(episode, two_clients)
