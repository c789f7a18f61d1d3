"""`openenv serve --reload`: restarts the server whenever the environment's code changes.

This process watches the code. The server is a child process, which ends with this one, even after
SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing import connection, parent_process

import typer
from watchfiles import PythonFilter, run_process

_MORE_CODE = (".yaml", ".toml")
"""File types that are watched besides Python. Others are not, because files that an environment
writes, such as recordings, must not restart its server."""


def reload_on_change(target: str) -> None:
    """Serve a target with this process's arguments; restart after each change, until Ctrl-C."""
    folder = target if os.path.isdir(target) else os.getcwd()
    run_process(
        folder,
        target=_serve,
        args=([word for word in sys.argv[1:] if word != "--reload"],),
        target_type="function",
        watch_filter=PythonFilter(extra_extensions=_MORE_CODE),
        callback=lambda changes: _say(folder, [path for _, path in changes]),
        debounce=200,
    )


def _serve(arguments: list[str]) -> None:
    """Run `openenv` with these arguments; the entry point of the child process."""
    from openenv.cli.main import main  # noqa: PLC0415 - it imports all commands, of which this is one

    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv[1:] = arguments
    main()


def _end_with_parent() -> None:
    watching = parent_process()
    assert watching is not None
    connection.wait([watching.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _say(folder: str, paths: list[str]) -> None:
    names = sorted({os.path.relpath(path, os.path.realpath(folder)) for path in paths})
    typer.echo(f"{', '.join(names)} changed: its sessions end, and it is served anew", err=True)
