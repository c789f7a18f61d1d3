"""Serves an environment of this checkout as `openenv serve` does.

`python -m benchmarks.serve_environment FOLDER default|inline|thread|process` announces {"url",
"versions", "execution", "max_sessions"}.
"""

from __future__ import annotations

import sys

from benchmarks.peers.programs.listening import announce, versions
from openenv.cli.commands.serve import load_app
from openenv.server.serve import registry_of, serve


def main() -> None:
    """Serve until told to end."""
    folder, place = sys.argv[1:3]
    app = load_app(folder, execution=None if place == "default" else place)
    registry = registry_of(app)
    assert registry is not None, f"{folder} serves an app that is not openenv's"
    said = {
        "versions": versions(),
        "execution": registry.spec.convention.execution,
        "max_sessions": registry.max_sessions,
    }
    serve(app, port=0, tune_gc=True, ready=lambda url: announce({"url": url, **said}))


if __name__ == "__main__":
    main()
