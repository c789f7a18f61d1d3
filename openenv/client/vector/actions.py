"""Actions of many sessions: from an array, or a list of them, to a payload for each session.

Owns which field of an action class a bare value goes into. Encoding is the connection's affair.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from openenv.errors import ConfigurationError
from openenv.lifting import LIFTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openenv.client.env import EnvClient

MakeAction = str | Callable[[Any], Any]
"The name of the field that holds a bare value, or a function from a value to an action."

_BARE = (bool, int, float, np.generic, np.ndarray, list, tuple)


class Actions:
    """Turns the actions given to `step` into payloads, for clients of one class."""

    def __init__(self, client_cls: type[EnvClient[Any, Any, Any]], make: MakeAction | None) -> None:
        codec = client_cls._action_codec
        self._cls: Any = dict if codec.is_generic else codec.cls
        self._name = client_cls.__name__
        self._by_hook = client_cls._encodes_by_hook
        hints = _hints(self._cls)
        if make is None and len(hints) == 1:
            [make] = hints
        self._make = make
        self._takes_arrays = callable(make) or _is_array(hints.get(make or ""))
        "Whether a row of an array stays an array; otherwise it becomes a list."

    def payloads(self, actions: Any, clients: Sequence[EnvClient[Any, Any, Any]]) -> list[Any]:
        """Return a payload for each client. Raises ConfigurationError for another number."""
        if isinstance(actions, np.ndarray):
            rows: Any = actions
        elif isinstance(actions, list | tuple):
            rows = np.asarray(actions) if actions and isinstance(actions[0], _BARE) else actions
        else:
            raise ConfigurationError(
                f"actions are an array or a list, not {type(actions).__name__}"
            )
        if getattr(rows, "ndim", 1) == 0 or len(rows) != len(clients):
            got = f"shape {list(rows.shape)}" if isinstance(rows, np.ndarray) else len(rows)
            raise ConfigurationError(
                f"{len(clients)} actions are due, one for each session: got {got}"
            )
        if isinstance(rows, np.ndarray):
            return self._of_array(rows, clients)
        return [client._payload(action) for client, action in zip(clients, rows, strict=True)]

    def _of_array(
        self, rows: np.ndarray[Any, Any], clients: Sequence[EnvClient[Any, Any, Any]]
    ) -> list[Any]:
        make = self._make
        if make is None:
            raise ConfigurationError(
                f"which field of an action of {self._name} is this array? Give the vector "
                "action='field' or action=a function that makes an action of one value, "
                "or step with a list of actions"
            )
        values = list(rows) if self._takes_arrays and rows.ndim > 1 else rows.tolist()
        if callable(make):
            return [
                client._payload(make(value)) for client, value in zip(clients, values, strict=True)
            ]
        if self._by_hook:
            # The client's hook expects an action, not a dict.
            return [
                client._payload(self._cls(**{make: value}))
                for client, value in zip(clients, values, strict=True)
            ]
        return [{make: value} for value in values]


def _hints(cls: Any) -> dict[str, Any]:
    """Return the fields of an action class that hold data, with their types."""
    try:
        hints = get_type_hints(cls)
    except (NameError, TypeError):
        hints = {}
    names: Any = ()
    for where in ("__struct_fields__", "__dataclass_fields__", "model_fields"):
        names = names or getattr(cls, where, ())
    return {name: hints.get(name) for name in names if name not in LIFTED}


def _is_array(hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_is_array(part) for part in get_args(hint))
    return (get_origin(hint) or hint) is np.ndarray
