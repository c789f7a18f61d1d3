"""GenericEnvClient: a client without classes of its own: dicts in, dicts out."""

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
    """Talks to any environment.

    Actions, observations and states are dicts. Actions may be models too.
    """
