"""The ASGI app of the trading environment: `uvicorn envs.finrl_env.server.app:app`."""

from __future__ import annotations

from openenv.app import create_app
from openenv.server.serve import serve

from ..models import FinRLObservation, action_class
from .environment import FinRLEnvironment
from .market import Market

app = create_app(FinRLEnvironment, action_class(len(Market.load().stocks)), FinRLObservation)


def main() -> None:
    """Serve on port 8000 of this machine."""
    serve(app)


if __name__ == "__main__":
    main()
