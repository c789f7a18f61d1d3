"""The ASGI app of the REPL environment: `uvicorn envs.repl_env.server.app:app`.

Which language model it asks, and what confines the code, is set by variables: see the README.
"""

from __future__ import annotations

import os
from functools import partial

from openenv.app import create_app
from openenv.server.serve import serve

from ..models import REPLAction, REPLObservation, REPLState
from .environment import REPLEnvironment
from .llm import ChatCompletions

url = os.environ.get("REPL_LLM_URL")
environment = partial(
    REPLEnvironment,
    llm=ChatCompletions(url, os.environ.get("REPL_LLM_MODEL", ""), os.environ.get("REPL_LLM_KEY"))
    if url
    else None,
    # Plain data, so that worker processes can have it, too.
    packages=os.environ.get("REPL_PACKAGES", "numpy").replace(",", " ").split(),
    isolation=os.environ.get("REPL_ISOLATION") or None,
)
app = create_app(environment, REPLAction, REPLObservation, state_cls=REPLState)


def main() -> None:
    """Serve on port 8000 of this machine."""
    serve(app)


if __name__ == "__main__":
    main()
