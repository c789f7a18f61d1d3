"""Launching: start a server by a provider, and return a client that stops it when it closes.

Launching gives client classes the calls for it. Knows nothing of a client but that its class takes
`base_url` and `provider`. The providers package has the providers, blocking/awaitable.py has what
the calls return.
"""

from __future__ import annotations

import inspect
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from openenv.client.blocking import portal
from openenv.client.blocking.awaitable import AwaitableSyncClient
from openenv.client.blocking.sync import SyncEnvClient
from openenv.errors import ConfigurationError
from openenv.models import ActT, ObsT, StateT
from openenv.providers.base import (
    READY_TIMEOUT_S,
    Endpoint,
    Provider,
    in_thread,
    open_container,
)
from openenv.providers.hub_api import space_git, space_id, space_image

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

ClientT = TypeVar("ClientT")

# How long a server may take to answer: our name for it, and the one that AutoEnv's callers use.
_TIMEOUTS = ("timeout_s", "wait_timeout")

# Where the client connects is never an option of the caller.
_NOT_OPTIONS = ("base_url", "provider", "link")


class Launching(Generic[ActT, ObsT, StateT]):
    """Base of clients that can start the server they talk to, and stop it when they close."""

    _provider: Any = None

    @classmethod
    def from_docker_image(
        cls, image: str, provider: Any = None, **options: Any
    ) -> AwaitableSyncClient[ActT, ObsT, StateT]:
        """Start a container of an image and return its client; `close` removes it.

        What is returned is awaited in async code and used as it is in blocking code. `port`,
        `env_vars`, `timeout_s` until the server answers, and those of ContainerOptions go to the
        provider (default: LocalDockerProvider), other options to the client. Raises ProviderError.
        """
        return from_image(cls, image, provider, options)  # type: ignore[no-any-return]

    @classmethod
    def from_env(
        cls, repo_id: str, *, use_docker: bool = True, provider: Any = None, **options: Any
    ) -> AwaitableSyncClient[ActT, ObsT, StateT]:
        """Serve a copy of a Space, `org/name`, on this machine and return its client.

        The copy runs in a container of the Space's image; without Docker uv runs it in an
        installation of its own. `repo_id` may also be an environment's folder, and for uv
        `git+https://...`. Otherwise like `from_docker_image`. AutoEnv plays a Space where it runs.
        """
        return from_repository(cls, repo_id, use_docker, provider, options)  # type: ignore[no-any-return]

    @classmethod
    def _from_docker(
        cls, image: str, port: int = 8000, provider: Any = None, **options: Any
    ) -> AwaitableSyncClient[ActT, ObsT, StateT]:
        """Start a container whose server listens on this port inside; existing clients call it."""
        return from_image(cls, image, provider, {"container_port": port, **options})  # type: ignore[no-any-return]

    async def _stop_provider(self) -> None:
        """Stop what the provider started, once."""
        provider, self._provider = self._provider, None
        if provider is not None:
            await stop_provider(provider)


def from_image(client_cls: type[Any], image: str, provider: Any, options: Mapping[str, Any]) -> Any:
    """Return a client of a server that the provider (default: Docker's) starts of an image.

    Options that the client class takes go to the client. `timeout_s` is how long the server may
    take to answer. All other options go to the provider.
    """
    of_client, of_provider, timeout_s = sort_options(client_cls, options)
    chosen = docker_provider() if provider is None else provider

    async def make() -> Any:
        return await launch(client_cls, chosen, (image,), timeout_s, of_provider, of_client)

    return client_of(client_cls, make)


def from_repository(
    client_cls: type[Any],
    repository: str,
    use_docker: bool,
    provider: Any,
    options: Mapping[str, Any],
) -> Any:
    """Return a client of a copy of a Space, a git repository or a folder, served on this machine.

    Docker runs a container of its image, or uv runs the code; options go as in `from_image`.
    """
    if not use_docker:
        space = None if os.path.isdir(repository) else space_id(repository)
        what = repository if space is None else space_git(space)
        return from_image(client_cls, what, provider or uv_provider(), options)
    if os.path.isdir(repository):
        from openenv.manifest import read_manifest  # noqa: PLC0415 - needs YAML, for this alone

        what = read_manifest(Path(repository)).images[0]
    elif (space := space_id(repository)) is not None:
        what = space_image(space)
    else:
        raise ConfigurationError(
            f"{repository!r} is neither a Space's id, org/name, nor an environment's folder. "
            "AutoEnv.from_env knows environments by their names"
        )
    return from_image(client_cls, what, provider, options)


def client_of(client_cls: type[Any], make: Callable[[], Awaitable[Any]]) -> Any:
    """Return a client that `make` will make; a class that only blocks is made at once."""
    only_blocks = issubclass(client_cls, SyncEnvClient)
    return portal.run(make) if only_blocks else AwaitableSyncClient(make)


async def launch(
    client_cls: Callable[..., ClientT],
    provider: Any,
    what: tuple[Any, ...] = (),
    timeout_s: float = READY_TIMEOUT_S,
    of_provider: Mapping[str, Any] | None = None,
    of_client: Mapping[str, Any] | None = None,
) -> ClientT:
    """Start a server; return a client that is not connected yet and stops the server on close."""
    endpoint = await start(provider, what, timeout_s, of_provider or {})
    async with AsyncExitStack() as undo:
        undo.push_async_callback(stop_provider, provider)
        given = dict(of_client or {})
        if endpoint.headers:
            name = "headers" if "headers" in _taken_by(client_cls) else "default_headers"
            given[name] = {**endpoint.headers, **(given.get(name) or {})}
        client = client_cls(base_url=endpoint.url, provider=provider, **given)
        undo.pop_all()
    return client


async def start(
    provider: Any, what: tuple[Any, ...], timeout_s: float, options: Mapping[str, Any]
) -> Endpoint:
    """Start a server by a Provider, or by an object that has only the blocking calls of one."""
    if isinstance(provider, Provider):
        return await provider.open(*what, timeout_s=timeout_s, **options)
    return await open_container(provider, what, timeout_s, options)


async def stop_provider(provider: Any) -> None:
    """Stop what a provider has started, by the stopping call that it has."""
    if isinstance(provider, Provider):
        await provider.aclose()
    else:
        await in_thread(getattr(provider, "stop_container", None) or provider.stop)


def docker_provider() -> Provider:
    """Return a provider of this machine's Docker."""
    from openenv.providers.docker import LocalDockerProvider  # noqa: PLC0415 - for this alone

    return LocalDockerProvider()


def uv_provider() -> Provider:
    """Return a provider of processes with an installation of their own."""
    from openenv.providers.uv import UVProvider  # noqa: PLC0415 - for this alone

    return UVProvider()


def sort_options(
    client_cls: type[Any], options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], float]:
    """Return the client's options, the provider's, and how many seconds the server may take."""
    taken = _taken_by(client_cls)
    of_client, of_provider, timeout_s = {}, {}, READY_TIMEOUT_S
    for name, value in options.items():
        if name in _TIMEOUTS:
            timeout_s = value
        elif name == "request_timeout_s" and name not in taken:
            of_client["message_timeout_s"] = value
        elif name in taken and name not in _NOT_OPTIONS:
            of_client[name] = value
        else:
            of_provider[name] = value
    return of_client, of_provider, timeout_s


def _taken_by(client_cls: Any) -> set[str]:
    """Return the parameters of a class's constructor, and of its bases' if it passes options on."""
    names: set[str] = set()
    for one in client_cls.__mro__:
        if "__init__" in vars(one):
            parameters = inspect.signature(vars(one)["__init__"]).parameters.values()
            names.update(parameter.name for parameter in parameters)
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                break
    return names
