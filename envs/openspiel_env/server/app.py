"""The ASGI app of the openspiel environment: `uvicorn envs.openspiel_env.server.app:app`.

The environment variables OPENSPIEL_GAME, OPENSPIEL_AGENT_PLAYER and OPENSPIEL_OPPONENT_POLICY say
what is played where reset does not.
"""

from __future__ import annotations

import functools
import os

from openenv.app import create_app
from openenv.server.serve import serve

from ..models import OpenSpielAction, OpenSpielObservation, OpenSpielState
from .environment import OpenSpielEnvironment

app = create_app(
    functools.partial(
        OpenSpielEnvironment,
        game_name=os.environ.get("OPENSPIEL_GAME", "catch"),
        agent_player=os.environ.get("OPENSPIEL_AGENT_PLAYER", "0"),
        opponent_policy=os.environ.get("OPENSPIEL_OPPONENT_POLICY", "random"),
    ),
    OpenSpielAction,
    OpenSpielObservation,
    state_cls=OpenSpielState,
)


def main() -> None:
    """Serve on port 8000 of this machine."""
    serve(app)


if __name__ == "__main__":
    main()
