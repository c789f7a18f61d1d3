"""`openenv serve --reload`: the server anew whenever the environment's code changes."""

from __future__ import annotations

import os
import shlex
import sys

import typer
from watchfiles import PythonFilter, run_process

_MORE_CODE = (".yaml", ".toml")
"Beside Python. What an environment writes, recordings for instance, must not end its server."


def reload_on_change(target: str) -> None:
    """Serve a target as this process was asked to, again after each change, until Ctrl-C."""
    folder = target if os.path.isdir(target) else os.getcwd()
    arguments = [word for word in sys.argv[1:] if word != "--reload"]
    run_process(
        folder,
        target=shlex.join([sys.executable, "-m", "openenv.cli", *arguments]),
        target_type="command",
        watch_filter=PythonFilter(extra_extensions=_MORE_CODE),
        callback=lambda changes: _say(folder, [path for _, path in changes]),
        debounce=200,
    )


def _say(folder: str, paths: list[str]) -> None:
    names = sorted({os.path.relpath(path, os.path.realpath(folder)) for path in paths})
    typer.echo(f"{', '.join(names)} changed: its sessions end, and it is served anew", err=True)
