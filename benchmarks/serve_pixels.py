"""Serves one of the environments of pixels.py: `python -m benchmarks.serve_pixels 100kB|1MB`.

Announces {"url", "versions"}.
"""

from __future__ import annotations

import sys

from benchmarks.peers.programs.listening import announce, versions
from benchmarks.pixels import ENVIRONMENTS
from openenv.app import create_app
from openenv.server.serve import serve


def main() -> None:
    """Serve until told to end."""
    serve(
        create_app(ENVIRONMENTS[sys.argv[1]], max_concurrent_envs=64),
        port=0,
        log_level="warning",
        tune_gc=True,
        ready=lambda url: announce({"url": url, "versions": versions()}),
    )


if __name__ == "__main__":
    main()
