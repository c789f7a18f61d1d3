"""Serves our echo environment like serve_ours, with one thing otherwise than usual.

`python -m benchmarks.serve_features SWITCH inline|thread` announces {"url", "versions"}.
"""

from __future__ import annotations

import sys

from benchmarks.peers.programs.listening import announce, versions
from benchmarks.switches import SWITCHES
from envs.echo_env.server.environment import EchoEnvironment
from openenv.app import create_app
from openenv.server.config import ServerConfig
from openenv.server.serve import serve


def main() -> None:
    """Serve until told to end."""
    switch, execution = SWITCHES[sys.argv[1]], sys.argv[2]
    switch.on_server()
    config = ServerConfig(max_concurrent_envs=65_536, execution=execution, **switch.config)
    serve(
        create_app(EchoEnvironment, config=config),
        port=0,
        log_level="warning",
        tune_gc=switch.tune_gc,
        ready=lambda url: announce({"url": url, "versions": versions()}),
    )


if __name__ == "__main__":
    main()
