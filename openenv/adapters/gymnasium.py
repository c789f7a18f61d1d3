"""Any environment of Gymnasium as an Environment: `openenv serve gym:CartPole-v1`.

`environment_class` makes the class, with payload classes of the spaces (spaces.py). Values cross as
Gymnasium has them: arrays stay arrays, `terminated` is done, `info` is the metadata.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import keyword
import pkgutil
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import gymnasium
import numpy as np
from gymnasium.error import DependencyNotInstalled, Error

from openenv.adapters.spaces import annotation, from_payload, to_payload
from openenv.environment import Environment
from openenv.errors import ConfigurationError
from openenv.lifting import LIFTED
from openenv.models import EnvironmentInfo, State

PREFIX = "gym:"
WRAPPER = "wrapper"
"The option of a target that is none of gymnasium.make; may be repeated, the first is innermost."


class GymnasiumEnvironment(Environment[Any, Any, State]):
    """One environment of Gymnasium; `environment_class` makes subclasses for the spaces of each."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    env_id: ClassVar[str] = ""
    MADE_BY: ClassVar[tuple[str, list[Any], dict[str, Any]]]
    "The function that made the class, with its arguments: for processes that make it again."
    observation_class: ClassVar[type]
    _make: ClassVar[Any]

    def __init__(self) -> None:
        self._env = self._make()

    def reset(self, seed: int | None = None, **options: Any) -> Any:
        """Begin an episode; what is no seed goes on as Gymnasium's `options`."""
        observation, info = self._env.reset(seed=seed, options=options or None)
        return self._seen(observation, metadata=_plain(info))

    def step(self, action: Any) -> Any:
        """Act. Raises ValueError for what is not in the action space; nothing has happened then."""
        sample = from_payload(self._env.action_space, action.action)
        observation, reward, terminated, truncated, info = self._env.step(sample)
        return self._seen(
            observation,
            reward=float(reward),
            done=bool(terminated),
            truncated=bool(truncated),
            metadata=_plain(info),
        )

    def render(self) -> Any:
        """Return what Gymnasium's `render` does; with render_mode=rgb_array uint8, H x W x 3."""
        return self._env.render()

    def close(self) -> None:
        """Close it."""
        self._env.close()

    def get_metadata(self) -> EnvironmentInfo:
        """Describe it by its spaces."""
        env = self._env
        return EnvironmentInfo(
            name=self.env_id,
            description=f"Gymnasium's {self.env_id}: acts in {env.action_space}, observes "
            f"{env.observation_space}",
            version=gymnasium.__version__,
        )

    def _seen(self, observation: Any, **lifted: Any) -> Any:
        payload = to_payload(self._env.observation_space, observation)
        if self.observation_class.HAS_KEYS:  # type: ignore[attr-defined]
            return self.observation_class(**payload, **lifted)
        return self.observation_class(observation=payload, **lifted)


def environment_class(
    env_id: str, wrappers: list[str] | None = None, /, **options: Any
) -> type[GymnasiumEnvironment]:
    """Return the class of an environment that gymnasium.make makes with these options.

    Wrappers are named as `module:Class`, the first is the innermost. An observation has the fields
    of a Dict space, else one field, `observation`; an action has one, `action`. Raises
    ConfigurationError: there is no such environment, or its samples cannot travel.
    """
    make = functools.partial(_make, env_id, tuple(wrappers or ()), options)
    env = make()
    try:
        action = dataclasses.make_dataclass(
            "Action", [("action", annotation(env.action_space, "Action_action"))], kw_only=True
        )
        observation = _observation_class(env.observation_space)
        draws = env.render_mode is not None
    finally:
        env.close()
    made_by = (f"{__name__}:{environment_class.__name__}", [env_id, wrappers or []], options)
    members = {
        "__doc__": f"Gymnasium's {env_id}.",
        "env_id": env_id,
        "MADE_BY": made_by,
        "observation_class": observation,
        "_make": staticmethod(make),
        "__orig_bases__": (Environment[action, observation, State],),  # type: ignore[valid-type]
    }
    if not draws:
        # Whoever looks for a method that draws finds none.
        members["render"] = None
    return type(env_id, (GymnasiumEnvironment,), members)


def class_of_target(target: str) -> type[GymnasiumEnvironment]:
    """Return the class that `gym:ID?option=value&wrapper=module:Class` names.

    Raises ConfigurationError.
    """
    env_id, _, query = target.removeprefix(PREFIX).partition("?")
    wrappers, options = [], {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name == WRAPPER:
            wrappers.append(text)
        else:
            options[name] = _value(text)
    return environment_class(env_id, wrappers, **options)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _make(env_id: str, wrappers: tuple[str, ...], options: dict[str, Any]) -> Any:
    # What it checks is checked here, or at the door.
    given = {"disable_env_checker": True, **options}
    try:
        env = gymnasium.make(env_id, **given)
        for reference in wrappers:
            env = pkgutil.resolve_name(reference)(env)
    except DependencyNotInstalled as error:
        raise ConfigurationError(f"{env_id} needs what is not installed: {error}") from error
    except Error as error:
        raise ConfigurationError(
            f"gymnasium cannot make {env_id!r}: {error} If a package registers it, name that "
            "first, as in gym:ale_py:ALE/Pong-v5"
        ) from error
    except Exception as error:
        # It is the environment's or a wrapper's own code that refuses an option, in whatever way.
        cause = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"gymnasium cannot make {env_id!r}: {cause}") from error
    return env


def _observation_class(space: Any) -> type:
    keys = list(space.spaces) if isinstance(space, gymnasium.spaces.Dict) else []
    has_keys = bool(keys) and not any(
        key in LIFTED or not str(key).isidentifier() or keyword.iskeyword(key) for key in keys
    )
    inner = space.spaces if has_keys else {"observation": space}
    fields: list[Any] = [
        (name, annotation(space, f"Observation_{name}")) for name, space in inner.items()
    ]
    fields += [
        ("reward", float | None, None),
        ("done", bool, False),
        ("truncated", bool, False),
        ("metadata", dict[str, Any], dataclasses.field(default_factory=dict)),
    ]
    made = dataclasses.make_dataclass("Observation", fields, kw_only=True)
    made.HAS_KEYS = has_keys  # type: ignore[attr-defined]
    return made


def _plain(info: Any) -> Any:
    """Return an info as data that can travel; what cannot, as text."""
    if isinstance(info, dict):
        return {str(key): _plain(value) for key, value in info.items()}
    if isinstance(info, list | tuple | set | frozenset):
        return [_plain(value) for value in info]
    if isinstance(info, np.generic):
        return info.item()
    if isinstance(info, np.ndarray) and info.dtype.kind in "biufc":
        return info
    return info if isinstance(info, str | int | float | bool | None) else str(info)
