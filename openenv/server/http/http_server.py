"""HTTPEnvServer: the routes of one environment, for an app that somebody else has made.

The same registry and routes as `create_app`, plus two hooks for payloads. Works without our
lifespan too: the first request starts the registry.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.responses import Response  # noqa: TC002
from starlette.routing import Route

from openenv.codec import Codec, codec_for, decode_any
from openenv.errors import ConfigurationError, PayloadError
from openenv.server.host import make_registry
from openenv.server.http.openapi import operations
from openenv.server.http.routes import registry_lifespan, session_routes
from openenv.server.http.serialization import deserialize_action, serialize_observation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from fastapi import APIRouter, FastAPI
    from starlette.applications import Starlette
    from starlette.types import Lifespan

    from openenv.arrays import Encoding
    from openenv.server.config import ServerConfig
    from openenv.server.sessions.registry import SessionRegistry


class ServerMode(StrEnum):
    """What HTTP may do: everything, or in production no reset, step and state."""

    SIMULATION = "simulation"
    PRODUCTION = "production"


_FASTAPI_HAS = ("/openapi.json", "/docs")


@dataclass(frozen=True)
class ConcurrencyConfig:
    """How many sessions a server runs at once, and after how many idle seconds it ends one."""

    max_concurrent_envs: int = 1
    session_timeout: float | None = None


@dataclass(frozen=True)
class ServerCapacityStatus:
    """How many sessions there are, and may be."""

    active_sessions: int
    max_sessions: int

    @property
    def available_slots(self) -> int:
        """How many more may be opened now."""
        return self.max_sessions - self.active_sessions

    @property
    def is_at_capacity(self) -> bool:
        """Whether the next one is refused, or has to wait."""
        return self.available_slots <= 0

    @classmethod
    def from_counts(cls, active: int, max_sessions: int) -> ServerCapacityStatus:
        """Return the status of these numbers."""
        return cls(active, max_sessions)


@dataclass(frozen=True)
class SessionInfo:
    """What a server knows of one session; times are Unix times."""

    session_id: str
    created_at: float
    last_activity_at: float
    step_count: int
    environment_type: str


class HTTPEnvServer:
    """Serves an environment through `register_routes(app)`, or `.router` for FastAPI.

    `env` is what `create_app` takes. A class in the fourth place is the state's. A subclass may
    override `_deserialize_action(data)` and `_serialize_observation(observation)`; they then hold
    on every transport. Raises ConfigurationError.
    """

    def __init__(
        self,
        env: object,
        action_cls: object,
        observation_cls: object,
        max_concurrent_envs: int | type | None = None,
        concurrency_config: object = None,
        *,
        state_cls: object = None,
        config: ServerConfig | None = None,
    ) -> None:
        if isinstance(max_concurrent_envs, type):
            state_cls, max_concurrent_envs = max_concurrent_envs, None
        self.action_cls = action_cls
        self.observation_cls = observation_cls
        self._concurrency_config = concurrency_config
        self.registry: SessionRegistry = make_registry(
            env,
            _HookedAction(action_cls, self._deserialize_action)
            if self._overrides("_deserialize_action")
            else action_cls,
            _HookedObservation(observation_cls, self._serialize_observation)
            if self._overrides("_serialize_observation")
            else observation_cls,
            state_cls,
            max_concurrent_envs=max_concurrent_envs,
            concurrency_config=concurrency_config,
            config=config,
        )

    # ---- routes

    def register_routes(
        self, app: Starlette, mode: ServerMode | str = ServerMode.SIMULATION
    ) -> None:
        """Add the routes to a Starlette or FastAPI app, and end the sessions with its lifespan."""
        with_episodes = _read_mode(mode) is ServerMode.SIMULATION
        if hasattr(app, "include_router"):
            app.include_router(self._make_router(with_episodes))
            return
        app.router.routes.extend(session_routes(self.registry, with_episodes=with_episodes))
        app.router.lifespan_context = _nested(
            app.router.lifespan_context, registry_lifespan(self.registry)
        )

    @property
    def router(self) -> APIRouter:
        """The routes as a router of FastAPI, for `app.include_router`."""
        return self._make_router(with_episodes=True)

    async def aclose(self) -> None:
        """End every session; for apps whose lifespan does not."""
        await self.registry.aclose()

    # ---- what is going on

    @property
    def active_sessions(self) -> int:
        """How many sessions there are."""
        return self.registry.active

    @property
    def max_concurrent_envs(self) -> int:
        """How many sessions there may be."""
        return self.registry.max_sessions

    @property
    def is_concurrency_safe(self) -> bool:
        """Whether the environment allows several sessions at once."""
        return self.registry.spec.convention.is_concurrent

    @property
    def concurrency_config(self) -> Any:
        """The limits in force."""
        return self._concurrency_config or ConcurrencyConfig(
            self.registry.max_sessions, self.registry.config.idle_timeout_s
        )

    def get_capacity_status(self) -> ServerCapacityStatus:
        """Return how full the server is."""
        return ServerCapacityStatus(self.registry.active, self.registry.max_sessions)

    def get_session_info(self, session_id: str) -> SessionInfo | None:
        """Return what is known of the session of this name; None if it does not live here."""
        session = self.registry.sessions.get(session_id)
        if session is None:
            return None
        # The loop's clock is the monotonic one.
        epoch_s = time.time() - time.monotonic()
        return SessionInfo(
            session_id,
            epoch_s + session.created_at_s,
            epoch_s + session.touched_at_s,
            session.episode.step_count,
            self.registry.spec.cls.__name__,
        )

    # ---- hooks

    def _deserialize_action(self, data: dict[str, Any]) -> Any:
        """Return the action that a client's data means."""
        return deserialize_action(data, self.action_cls)

    def _serialize_observation(self, observation: Any) -> dict[str, Any]:
        """Return an observation as clients get it: {"observation", "reward", "done"}."""
        return serialize_observation(observation)

    def _overrides(self, hook: str) -> bool:
        return getattr(type(self), hook) is not getattr(HTTPEnvServer, hook)

    def _make_router(self, with_episodes: bool) -> APIRouter:
        from fastapi import APIRouter  # noqa: PLC0415 - the extra `fastapi`

        router = APIRouter(lifespan=registry_lifespan(self.registry))
        described = operations()
        for route in session_routes(self.registry, with_episodes=with_episodes):
            if not isinstance(route, Route):
                router.routes.append(route)
            elif route.path not in _FASTAPI_HAS:
                for method in sorted((route.methods or set()) - {"HEAD"}):
                    router.add_api_route(
                        route.path,
                        _as_function(route.endpoint),
                        methods=[method],
                        response_model=None,
                        **described[route.path, method],
                    )
        return router


class _HookedAction(Codec):
    """The codec of an action class whose instances a hook makes."""

    def __init__(self, cls: object, hook: Callable[[Any], Any]) -> None:
        super().__init__(cls)
        self._hook = hook

    def decode(self, raw: object, encoding: Encoding) -> Any:
        """Return what the hook makes of the data."""
        data = decode_any(raw, encoding)
        try:
            return self._hook(data)
        except (TypeError, ValueError, KeyError) as error:
            # What a hook raises for data that it does not like.
            raise PayloadError(f"not an action: {type(error).__name__}: {error}") from error

    def decoder(self, encoding: Encoding) -> None:
        """There is no short way."""


class _HookedObservation(Codec):
    """The codec of an observation class whose instances a hook shows."""

    def __init__(self, cls: object, hook: Callable[[Any], dict[str, Any]]) -> None:
        super().__init__(cls)
        self._hook = hook

    def lifter(self, observation: object, build: Callable[..., Any]) -> Callable[[int, Any], Any]:
        """Return a function that makes a frame of what the hook shows."""
        super().lifter(observation, build)
        lift = codec_for(dict).lifter({}, build)
        return lambda number, value: lift(number, _flat(self._hook(value)))


def _flat(shown: dict[str, Any]) -> dict[str, Any]:
    """Return {"observation": {...}, "reward", ...} as one dict, which lifting takes apart again."""
    inner = shown.get("observation")
    if not isinstance(inner, dict):
        return shown
    beside = {name: value for name, value in shown.items() if name != "observation"}
    return {**inner, **beside}


def create_fastapi_app(
    env: object,
    action_cls: object,
    observation_cls: object,
    max_concurrent_envs: int | None = None,
    concurrency_config: object = None,
) -> FastAPI:
    """Return a FastAPI app that serves an environment, for those who add routes of their own.

    Needs the extra `fastapi`; `create_app` does not.
    """
    from fastapi import FastAPI  # noqa: PLC0415 - the extra `fastapi`

    server = HTTPEnvServer(
        env, action_cls, observation_cls, max_concurrent_envs, concurrency_config
    )
    app = FastAPI(title=server.registry.spec.name)
    server.register_routes(app)
    return app


def _read_mode(mode: object) -> ServerMode:
    try:
        return ServerMode(str(getattr(mode, "value", mode)).lower())
    except ValueError:
        known = ", ".join(ServerMode)
        raise ConfigurationError(f"Invalid mode: {mode!r}; it is one of {known}") from None


def _as_function(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint whose signature says what FastAPI wants to know."""

    async def call(request: Request) -> Response:
        return await endpoint(request)

    return call


def _nested(outer: Lifespan[Starlette], inner: Lifespan[Starlette]) -> Lifespan[Starlette]:
    """Return a lifespan in which both are alive."""

    @asynccontextmanager
    async def nested(app: Starlette) -> AsyncIterator[Any]:
        async with outer(app) as state, inner(app):
            yield state

    return nested
