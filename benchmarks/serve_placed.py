"""Serves one of the environments of placed.py, or the echo environment, in one of the placements.

`python -m benchmarks.serve_placed Echo|Work|Sleep inline|thread|process [WORKERS]` announces
{"url", "versions"}.
"""

from __future__ import annotations

import sys

from benchmarks.peers.programs.listening import announce, versions
from benchmarks.placed import Sleep, Work
from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app
from openenv.server.config import ServerConfig
from openenv.server.serve import serve

_ENVIRONMENTS = {"Echo": EchoEnvironment, "Work": Work, "Sleep": Sleep}


def main() -> None:
    """Serve until told to end."""
    name, execution, *workers = sys.argv[1:]
    config = ServerConfig(max_concurrent_envs=65_536, workers=int(workers[0]) if workers else None)
    serve(
        create_app(_ENVIRONMENTS[name], config=config, execution=execution),
        port=0,
        log_level="warning",
        tune_gc=True,
        ready=lambda url: announce({"url": url, "versions": versions()}),
    )


if __name__ == "__main__":
    main()
