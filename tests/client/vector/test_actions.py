"""Actions of many sessions: from an array, or a list of them, to a payload for each."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from openenv.client.env import EnvClient
from openenv.client.generic import GenericEnvClient
from openenv.client.vector.actions import Actions
from openenv.errors import ConfigurationError
from openenv.models import Action, State
from tests.environments import Add, Total


@dataclass
class Push:
    by: float
    side: str = "left"


@dataclass
class Turn(Action):
    angle: int


@dataclass
class Thrust:
    forces: NDArray[Any] = field(default_factory=lambda: np.zeros(2))


class AddEnv(EnvClient[Add, Total, State]):
    pass


class PushEnv(EnvClient[Push, Total, State]):
    pass


class TurnEnv(EnvClient[Turn, Total, State]):
    pass


class ThrustEnv(EnvClient[Thrust, Total, State]):
    pass


class Hooked(EnvClient[Add, Total, State]):
    def _step_payload(self, action: Add) -> dict[str, Any]:
        return {"hooked": action.amount}


def payloads(cls: Any, actions: Any, make: Any = None, count: int = 2) -> list[Any]:
    clients = [cls("http://127.0.0.1:9") for _ in range(count)]
    return Actions(cls, make).payloads(actions, clients)


@pytest.mark.parametrize(
    ("cls", "make", "expected"),
    [
        (AddEnv, None, [{"amount": 1}, {"amount": 2}]),
        (TurnEnv, None, [{"angle": 1}, {"angle": 2}]),
        (PushEnv, "by", [{"by": 1}, {"by": 2}]),
        (GenericEnvClient, "move", [{"move": 1}, {"move": 2}]),
        (AddEnv, lambda value: Add(value * 10), [Add(10), Add(20)]),
        (Hooked, None, [{"hooked": 1}, {"hooked": 2}]),
    ],
    ids=[
        "its only field",
        "its only field but metadata",
        "a named field",
        "a dict",
        "a function",
        "a hook",
    ],
)
@pytest.mark.parametrize(
    "values", [np.array([1, 2]), [1, 2], (1, 2)], ids=["array", "list", "tuple"]
)
def test_bare_values_become_actions(cls: Any, make: Any, expected: Any, values: Any) -> None:
    assert payloads(cls, values, make) == expected


def test_a_list_of_actions_stays_as_it_is() -> None:
    actions = [Push(1.0), Push(2.0, "right")]
    assert payloads(PushEnv, actions) == actions


def test_a_row_stays_an_array_only_where_the_field_is_one() -> None:
    rows = np.ones((2, 3))
    first, _ = payloads(ThrustEnv, rows)
    assert isinstance(first["forces"], np.ndarray)
    assert payloads(AddEnv, rows)[0] == {"amount": [1.0, 1.0, 1.0]}


@pytest.mark.parametrize(
    ("cls", "actions"),
    [
        (AddEnv, [1, 2, 3]),
        (AddEnv, np.array([1])),
        (AddEnv, np.array(1)),
        (AddEnv, {"amount": 1}),
        (PushEnv, np.array([1, 2])),
        (GenericEnvClient, np.array([1, 2])),
    ],
    ids=["too many", "too few", "no rows", "no list", "which field?", "which key?"],
)
def test_what_is_no_action_for_each_session_is_refused(cls: Any, actions: Any) -> None:
    with pytest.raises(ConfigurationError):
        payloads(cls, actions)
