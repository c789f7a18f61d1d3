"""From what users give (a class, a factory or an instance, and settings) to a registry.

Contradictions are found here, before anything is served.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from openenv.errors import ConfigurationError
from openenv.server.config import ServerConfig
from openenv.server.runners.calls import EnvironmentCalls, Factory
from openenv.server.sessions.registry import SessionRegistry
from openenv.server.workers.blueprint import blueprint_of


def make_registry(
    env: Any,
    action_cls: Any = None,
    observation_cls: Any = None,
    state_cls: Any = None,
    *,
    env_name: str | None = None,
    max_concurrent_envs: int | None = None,
    concurrency_config: Any = None,
    config: ServerConfig | None = None,
    execution: str | None = None,
) -> SessionRegistry:
    """Return the registry of a server.

    Raises ConfigurationError for settings that contradict each other.
    """
    config = _config(config, max_concurrent_envs, concurrency_config)
    payload_classes = [action_cls, observation_cls, state_cls]
    execution = execution or config.execution or ("process" if config.workers else None)
    calls = make_calls(env, *payload_classes, debug=config.debug, execution=execution)
    if env_name:
        calls.name = env_name
    if calls.execution != "process":
        if config.workers:
            raise ConfigurationError(
                f"workers is {config.workers}, but the execution of {calls.name} is "
                f"{calls.execution!r}: leave it out, or set execution to 'process'"
            )
        return SessionRegistry(calls, config)
    if calls.is_shared:
        raise ConfigurationError(
            f"one instance of {calls.name} is shared, so it cannot run in worker processes: give "
            "its class, or set execution to 'thread'"
        )
    blueprint = blueprint_of(env, payload_classes, debug=config.debug)
    if not inspect.isclass(env):
        # A factory has made an instance, to show its class; sessions get others.
        calls.close(calls.factory())
    return SessionRegistry(calls, config, blueprint)


def make_calls(
    env: Any,
    action_cls: Any = None,
    observation_cls: Any = None,
    state_cls: Any = None,
    *,
    debug: bool = False,
    execution: str | None = None,
) -> EnvironmentCalls:
    """Return how to call the environments that these arguments of create_app mean."""
    factory, sample, is_shared = _factory(env)
    return EnvironmentCalls(
        factory,
        sample,
        action_cls,
        observation_cls,
        state_cls,
        debug=debug,
        execution=execution,
        is_shared=is_shared,
    )


def _config(
    config: ServerConfig | None, max_concurrent_envs: int | None, concurrency_config: Any
) -> ServerConfig:
    if max_concurrent_envs is not None and concurrency_config is not None:
        raise ConfigurationError("give max_concurrent_envs or concurrency_config, not both")
    config = config or ServerConfig.from_env()
    if concurrency_config is not None:
        config = replace(
            config,
            max_concurrent_envs=concurrency_config.max_concurrent_envs,
            idle_timeout_s=concurrency_config.session_timeout,
        )
    if max_concurrent_envs is not None:
        config = replace(config, max_concurrent_envs=max_concurrent_envs)
    return config


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


def _check_arguments(cls: Any) -> None:
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
