"""The composition root: `create_app` puts the routes of every feature into one Starlette app.

The only place that knows all features. Each of them is a list of routes over the same registry.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from openenv.server.config import ServerConfig
from openenv.server.host import make_registry
from openenv.server.http.bodies import respond_http_exception
from openenv.server.http.routes import registry_lifespan, session_routes
from openenv.server.http.sessions import HttpSessions
from openenv.webui.routes import web_routes


def create_app(
    env: Any,
    action_cls: Any = None,
    observation_cls: Any = None,
    env_name: str | None = None,
    max_concurrent_envs: int | None = None,
    concurrency_config: Any = None,
    *,
    state_cls: Any = None,
    config: ServerConfig | None = None,
    execution: str | None = None,
    web: bool | None = None,
) -> Starlette:
    """Return an ASGI app that serves an environment: `uvicorn module:app` runs it.

    `env` is an Environment class, a factory (a function or functools.partial), or one instance,
    which is then shared: one session at a time, and HTTP requests attach to it. The payload classes
    may be left out when the class names them, as in `Environment[MyAction, MyObservation,
    MyState]`. With `web` the page is served at /web; None asks the config, which asks
    ENABLE_WEB_INTERFACE. Raises ConfigurationError.
    """
    if web is not None:
        config = replace(config or ServerConfig.from_env(), web=web)
    registry = make_registry(
        env,
        action_cls,
        observation_cls,
        state_cls,
        env_name=env_name,
        max_concurrent_envs=max_concurrent_envs,
        concurrency_config=concurrency_config,
        config=config,
        execution=execution,
    )
    sessions = HttpSessions(registry)
    routes = session_routes(registry, sessions=sessions)
    if registry.config.web:
        routes += web_routes(sessions)
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: respond_http_exception},
        lifespan=registry_lifespan(registry),
    )
    app.state.registry = registry
    return app


def create_web_interface_app(env: Any, *arguments: Any, **options: Any) -> Starlette:
    """Return what `create_app` does with these arguments, always with the page."""
    return create_app(env, *arguments, **{**options, "web": True})


create_hf_web_interface_app = create_web_interface_app
"The name for a Space of Hugging Face, where the app is the same."
