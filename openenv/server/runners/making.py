"""From what users give, a class, a factory or an instance, to an EnvironmentSpec.

What cannot be served is refused here, before anything is.
"""

from __future__ import annotations

import inspect
from typing import Any

from openenv.errors import ConfigurationError
from openenv.server.runners.spec import EnvironmentSpec, Factory


def make_spec(
    env: object,
    action_cls: object = None,
    observation_cls: object = None,
    state_cls: object = None,
    *,
    name: str | None = None,
    debug: bool = False,
    execution: str | None = None,
) -> EnvironmentSpec:
    """Return how to call the environments that these arguments of create_app mean."""
    factory, sample, is_shared = _factory(env)
    return EnvironmentSpec(
        factory,
        sample,
        action_cls,
        observation_cls,
        state_cls,
        name=name,
        debug=debug,
        execution=execution,
        is_shared=is_shared,
    )


def _factory(env: Any) -> tuple[Factory, Any, bool]:
    """Return (factory, class or first instance, whether one instance is shared)."""
    if inspect.isclass(env):
        _check_arguments(env)
        return env, env, False
    if hasattr(env, "reset") and hasattr(env, "step"):
        return lambda: env, env, True
    if not callable(env):
        raise ConfigurationError(
            f"env must be an Environment class, a factory or an instance, not {type(env).__name__}"
        )
    # What a factory makes is known only when it has made one: the first session gets that instance.
    first = env()
    spare = [first]
    return lambda: spare.pop() if spare else env(), first, False


def _check_arguments(cls: type) -> None:
    """Raise ConfigurationError for a class that cannot be called without arguments."""
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        raise ConfigurationError(
            f"{cls.__name__} cannot be made without arguments ({error}): "
            f"give functools.partial({cls.__name__}, ...) in its place"
        ) from None
    except ValueError:
        # A signature that cannot be read; the first session will tell.
        return
