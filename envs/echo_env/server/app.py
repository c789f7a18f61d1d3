"""The ASGI app of the echo environment: `uvicorn envs.echo_env.server.app:app`."""

from __future__ import annotations

from openenv.app import create_app
from openenv.server.serve import serve

from ..models import EchoAction, EchoObservation
from .environment import EchoEnvironment

app = create_app(EchoEnvironment, EchoAction, EchoObservation)


def main() -> None:
    """Serve on port 8000 of this machine."""
    serve(app)


if __name__ == "__main__":
    main()
