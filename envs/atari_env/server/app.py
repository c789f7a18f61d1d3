"""The ASGI app of the atari environment: `uvicorn envs.atari_env.server.app:app`.

Environment variables such as ATARI_GAME and ATARI_FRAMESKIP say what is played where reset does
not.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import msgspec

from openenv.app import create_app
from openenv.server.serve import serve

from ..models import AtariAction, AtariObservation, AtariState
from .environment import AtariEnvironment
from .settings import Settings, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def options_of(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment variables say. Raises ConfigurationError."""
    names = {name: f"ATARI_{name.upper()}" for name in Settings.__struct_fields__}
    names["game_name"] = "ATARI_GAME"
    given = {name: variables[key] for name, key in names.items() if key in variables}
    settings = msgspec.to_builtins(settings_of(given, strict=False))
    return {name: settings[name] for name in given}


app = create_app(
    functools.partial(AtariEnvironment, **options_of(os.environ)),
    AtariAction,
    AtariObservation,
    state_cls=AtariState,
)


def main() -> None:
    """Serve on port 8000 of this machine."""
    serve(app)


if __name__ == "__main__":
    main()
