"""The ASGI app of the browsergym environment: `uvicorn envs.browsergym_env.server.app:app`.

Environment variables such as BROWSERGYM_BENCHMARK and BROWSERGYM_TASK_NAME say what is played where
reset does not.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import msgspec

from openenv.app import create_app
from openenv.errors import ConfigurationError
from openenv.server.serve import serve

from ..models import BrowserGymAction, BrowserGymObservation, BrowserGymState
from .environment import BrowserGymEnvironment
from .network import LOOPBACK, sites_of
from .settings import Settings, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_LISTS = {"observe", "actions", "viewport"}


def options_of(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment variables say. Raises ConfigurationError."""
    names = {name: f"BROWSERGYM_{name.upper()}" for name in Settings.__struct_fields__}
    given: dict[str, Any] = {
        name: _words(variables[key]) if name in _LISTS else variables[key]
        for name, key in names.items()
        if key in variables
    }
    settings = msgspec.to_builtins(settings_of(given, strict=False))
    options = {name: settings[name] for name in given}
    hosts = _words(variables.get("BROWSERGYM_ALLOWED_HOSTS", " ".join(LOOPBACK)))
    options["allowed_hosts"] = [*hosts, *sites_of(variables)]
    options["chromium"] = variables.get("BROWSERGYM_CHROMIUM")
    options["is_sandboxed"] = variables.get("BROWSERGYM_SANDBOX", "") in ("1", "true")
    try:
        options["call_timeout_s"] = float(variables.get("BROWSERGYM_CALL_TIMEOUT_S", "60"))
    except ValueError as error:
        raise ConfigurationError(f"BROWSERGYM_CALL_TIMEOUT_S: {error}") from error
    return options


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


app = create_app(
    functools.partial(BrowserGymEnvironment, **options_of(os.environ)),
    BrowserGymAction,
    BrowserGymObservation,
    state_cls=BrowserGymState,
)


def main() -> None:
    """Serve on port 8000 of this machine."""
    serve(app)


if __name__ == "__main__":
    main()
