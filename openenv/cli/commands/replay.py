"""`openenv replay`: a recording on the page."""

import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from openenv.address import LOOPBACK, MAX_PORT
from openenv.cli.running import Debug, reporting
from openenv.server.serve import serve
from openenv.webui.replay import replay_app


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording; also a .zst.")],
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for everyone.")] = LOOPBACK,
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=MAX_PORT, help="Where; 0 takes a free one.")
    ] = 0,
    opens: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    debug: Debug = False,
) -> None:
    """Show a recording on the page, episode by episode, until Ctrl-C."""
    with reporting(debug):
        app = replay_app(file)

        def announce(url: str) -> None:
            typer.echo(f"{file} is shown at {url}/web")
            if opens:
                # Some browsers keep whoever has opened them waiting.
                page = f"{url}/web/"
                threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

        serve(app, host, port, log_level="debug" if debug else "warning", ready=announce)
