"""GenericEnvClient: a client without payload classes, for any environment: dicts in, dicts out.

Adds nothing to EnvClient (env.py) but the types; hub/ has the clients that know their classes.
"""

from __future__ import annotations

from typing import Any

from openenv.client.env import EnvClient


class GenericAction(dict[str, Any]):
    """An action for any environment: `GenericAction(message="hello")`."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)

    def __repr__(self) -> str:
        return f"GenericAction({', '.join(f'{name}={value!r}' for name, value in self.items())})"


class GenericEnvClient(EnvClient[dict[str, Any], dict[str, Any], dict[str, Any]]):
    """A client for any environment.

    Observations and states are dicts. Actions are dicts or models.
    """
