"""Serves one of the environments of pixels.py.

`python -m benchmarks.serve_pixels 100kB|1MB tcp|unix shared|bytes`. Announces {"url", "versions"}.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.peers.programs.listening import announce, versions
from benchmarks.pixels import ENVIRONMENTS
from openenv.app import create_app
from openenv.protocol.frames import SHARED_MEMORY_BYTES
from openenv.server.config import ServerConfig
from openenv.server.serve import serve


def main() -> None:
    """Serve until told to end."""
    size, transport, memory = sys.argv[1:4]
    shared_bytes = SHARED_MEMORY_BYTES if memory == "shared" else 0
    config = ServerConfig(max_concurrent_envs=64, shared_memory_bytes=shared_bytes)
    with tempfile.TemporaryDirectory() as folder:
        serve(
            create_app(ENVIRONMENTS[size], config=config),
            port=0,
            uds=str(Path(folder, "socket")) if transport == "unix" else None,
            log_level="warning",
            tune_gc=True,
            ready=lambda url: announce({"url": url, "versions": versions()}),
        )


if __name__ == "__main__":
    main()
