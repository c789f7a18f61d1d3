"""Serves our echo environment for load, as `openenv serve` does, on a free port of the loopback.

`python -m benchmarks.serve_ours inline|thread [--legacy]` announces {"url", "versions"}.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.peers.programs.listening import announce, versions
from envs.echo_env import EchoAction, EchoObservation
from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app
from openenv.server.serve import serve

_SESSIONS = 65_536


class WithoutSubprotocols:
    """Middleware that hides what clients offer, so that ours speaks the published dialect."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass everything on but the offer."""
        await self._app({**scope, "subprotocols": []}, receive, send)


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("execution", choices=("inline", "thread"))
    parser.add_argument("--legacy", action="store_true")
    options = parser.parse_args()
    app = create_app(
        EchoEnvironment,
        EchoAction,
        EchoObservation,
        "echo",
        max_concurrent_envs=_SESSIONS,
        execution=options.execution,
    )
    if options.legacy:
        app.add_middleware(WithoutSubprotocols)
    serve(
        app,
        port=0,
        log_level="warning",
        tune_gc=True,
        ready=lambda url: announce({"url": url, "versions": versions()}),
    )


if __name__ == "__main__":
    main()
