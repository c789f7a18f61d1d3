"""Serves our echo environment for foreign clients: `python -m tests.compat.serve_ours`."""

import argparse

from benchmarks.peers.programs.listening import serve
from envs.echo_env import EchoAction, EchoObservation
from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app


class FaultyEchoEnvironment(EchoEnvironment):
    def step(self, action: EchoAction) -> EchoObservation:
        if action.message == "raise":
            raise ValueError("told to raise")
        return super().step(action)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int)
    sessions = parser.parse_args().sessions
    serve(
        create_app(
            FaultyEchoEnvironment, EchoAction, EchoObservation, "echo", max_concurrent_envs=sessions
        )
    )


if __name__ == "__main__":
    main()
