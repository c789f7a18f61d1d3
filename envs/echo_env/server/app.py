"""The ASGI app of the echo environment: `uvicorn envs.echo_env.server.app:app`."""

from __future__ import annotations

from openenv.app import create_app

from ..models import EchoAction, EchoObservation
from .environment import EchoEnvironment

app = create_app(EchoEnvironment, EchoAction, EchoObservation)
