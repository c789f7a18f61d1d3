"""The ASGI app of the chat environment: `uvicorn envs.chat_env.server.app:app`.

The environment variables CHAT_TOKENIZER, CHAT_SYSTEM_PROMPT and CHAT_SCRIPTS (a JSON file) say what
is not the default.
"""

from __future__ import annotations

import os
from pathlib import Path

from openenv.app import create_app
from openenv.server.serve import serve

from ..models import ChatAction, ChatObservation, ChatState
from .environment import ChatEnvironment
from .responders import SCRIPTS, Matches, Scripted, read_scripts
from .tokenizer import SMALL

_scripts = read_scripts(Path(os.environ.get("CHAT_SCRIPTS", SCRIPTS)))


def make_environment() -> ChatEnvironment:
    """Return an environment with a responder of its own."""
    script = Scripted(_scripts)
    return ChatEnvironment(
        os.environ.get("CHAT_TOKENIZER", SMALL),
        os.environ.get("CHAT_SYSTEM_PROMPT"),
        script,
        Matches(script),
    )


app = create_app(make_environment, ChatAction, ChatObservation, state_cls=ChatState)


def main() -> None:
    """Serve on port 8000 of this machine."""
    serve(app)


if __name__ == "__main__":
    main()
