"""Serves CartPole-v1 for load, as `openenv serve` does, on a free port of the loopback.

`python -m benchmarks.serve_cart_pole inline|thread` announces {"url", "versions"}.
"""

from __future__ import annotations

import sys

from benchmarks.cart_pole import CartPole
from benchmarks.peers.programs.listening import announce, versions
from openenv.app import create_app
from openenv.server.serve import serve

_SESSIONS = 4096


def main() -> None:
    """Serve until told to end."""
    app = create_app(CartPole, max_concurrent_envs=_SESSIONS, execution=sys.argv[1])
    serve(
        app,
        port=0,
        log_level="warning",
        tune_gc=True,
        ready=lambda url: announce({"url": url, "versions": versions()}),
    )


if __name__ == "__main__":
    main()
