"""From what users give (a class, a factory or an instance, and settings) to a registry.

Contradictions are found here, before anything is served.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError
from openenv.server.config import ServerConfig
from openenv.server.runners.inline import Runner
from openenv.server.runners.making import make_spec
from openenv.server.runners.task import TaskRunner
from openenv.server.runners.thread import EnvironmentThreads, ThreadRunner
from openenv.server.sessions.deadlines import DeadlineSweep
from openenv.server.sessions.registry import SessionRegistry
from openenv.server.sessions.services import SessionServices
from openenv.server.sessions.slots import SessionSlots, session_limit
from openenv.server.sessions.task_group import HostedTaskGroup
from openenv.server.watching.spectators import Spectators
from openenv.server.workers.blueprint import Blueprint, blueprint_of
from openenv.server.workers.pool import WorkerPool
from openenv.server.workers.runner import WorkerRunner

if TYPE_CHECKING:
    from openenv.server.ports import RunningSession
    from openenv.server.runners.spec import EnvironmentSpec


def make_registry(
    env: object,
    action_cls: object = None,
    observation_cls: object = None,
    state_cls: object = None,
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
    spec = make_spec(env, *payload_classes, name=env_name, debug=config.debug, execution=execution)
    if spec.convention.execution != "process":
        if config.workers:
            raise ConfigurationError(
                f"workers is {config.workers}, but the execution of {spec.name} is "
                f"{spec.convention.execution!r}: leave it out, or set execution to 'process'"
            )
        return _join(spec, config)
    if spec.is_shared:
        raise ConfigurationError(
            f"one instance of {spec.name} is shared, so it cannot run in worker processes: give "
            "its class, or set execution to 'thread'"
        )
    blueprint = blueprint_of(env, payload_classes, debug=config.debug)
    if not inspect.isclass(env):
        # A factory has made an instance, to show its class; sessions get others.
        spec.bind(spec.factory()).close()
    return _join(spec, config, blueprint)


def _join(
    spec: EnvironmentSpec, config: ServerConfig, blueprint: Blueprint | None = None
) -> SessionRegistry:
    """Put together what hosts the sessions of a server: the one place that knows all of it."""
    tasks = HostedTaskGroup()
    threads = EnvironmentThreads(shares_one=spec.convention.shares_thread)
    # The registry is swept with the deadlines, and is made of them.
    deadlines = DeadlineSweep(lambda now_s: registry.sweep(now_s))
    workers = None
    if blueprint is not None:
        workers = WorkerPool(spec, config, blueprint, tasks.spawn, deadlines)
    limit = session_limit(
        spec.name, spec.convention, config, None if workers is None else workers.count
    )
    slots = SessionSlots(limit, deadlines)

    def make_runner(session: RunningSession) -> Runner:
        match spec.convention.execution:
            case "inline":
                return Runner(spec, session)
            case "await":
                return TaskRunner(spec, session, tasks.spawn, deadlines, threads.make)
            case "thread":
                return ThreadRunner(spec, session, threads.make)
        assert workers is not None
        return WorkerRunner(spec, session, workers)

    services = SessionServices(
        config=config,
        slots=slots,
        deadlines=deadlines,
        make_runner=make_runner,
        runs_inline=spec.convention.execution == "inline",
        spectators=Spectators(spec, deadlines) if config.watch else None,
        by_token={},
    )
    registry = SessionRegistry(spec, services, slots, deadlines, tasks, threads, workers)
    return registry


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
