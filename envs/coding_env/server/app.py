"""The ASGI app of the coding environment: `uvicorn envs.coding_env.server.app:app`.

What the environment's constructor takes can be set by variables: see the README.
"""

from __future__ import annotations

import os
from functools import partial

from openenv.app import create_app
from openenv.server.serve import serve

from ..models import CodeAction, CodeObservation, CodeState
from .environment import CodingEnvironment

environment = partial(
    CodingEnvironment,
    # Plain data, so that worker processes can have it, too.
    packages=os.environ.get("CODING_PACKAGES", "numpy").replace(",", " ").split(),
    isolation=os.environ.get("CODING_ISOLATION") or None,
    executor=os.environ.get("CODING_EXECUTOR") or "sandbox",
)
app = create_app(environment, CodeAction, CodeObservation, state_cls=CodeState)


def main() -> None:
    """Serve on port 8000 of this machine."""
    serve(app)


if __name__ == "__main__":
    main()
