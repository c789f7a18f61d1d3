# mypy: ignore-errors
# Run by an interpreter of its own, which has ray; the one that mypy sees has not.
# ruff: noqa: D103, E402 - Ray reads its environment when it is imported
"""Runs a Ray of its own on the loopback, without dashboard and usage reports, until told to end.

Announces {"url", "versions"}: the address that a driver joins, after the token that lets it join,
which is of this run only. Its processes end with this one.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import tempfile

_TOKEN = secrets.token_hex(32)
# Also inherited by what it starts.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": _TOKEN,
    # Without, it takes the loopback's address for a mistake, and listens on all interfaces.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Actors would give way to whatever else runs, as no other row does.
    "RAY_worker_niceness": "0",
}

import ray
from listening import announce, versions

_STORE_BYTES = 100 * 2**20
_ACTORS = 16
"How many Ray lets run at once; they share a core like everything else of a server."


def main():
    # ray.shutdown ends all that was started; a signal must not come between.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray.init(
            address="local",
            num_cpus=_ACTORS,
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            log_to_driver=False,
            logging_level="warning",
            _temp_dir=folder,
        )
        try:
            address = ray.get_runtime_context().gcs_address
            announce({"url": f"{_TOKEN}@{address}", "versions": versions()})
            sys.stdin.read()
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main()
