"""Launching: from a provider, and what it shall start, to a client that stops it again.

Which provider, and of what, is the caller's affair. either.py is what callers get back.
"""

from __future__ import annotations

import inspect
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from openenv.client.blocking import portal
from openenv.client.blocking.awaitable import AwaitableSyncClient
from openenv.client.blocking.sync import SyncEnvClient
from openenv.errors import ConfigurationError
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

# How long a server may take to answer: ours, and what AutoEnv has always called it.
_TIMEOUTS = ("timeout_s", "wait_timeout")


def from_image(client_cls: type[Any], image: str, provider: Any, options: Mapping[str, Any]) -> Any:
    """Return a client of what the provider starts of an image (default: Docker's).

    Options of the client class are given to it, `timeout_s` is how long the server may take to
    answer, all others are the provider's.
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

    In a container of its image, or by uv, with the options that those take.
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
    """Return what `make` makes: to be awaited or used, or made at once if its class only blocks."""
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
    """Have a provider start something; return its client, not yet connected, that stops it."""
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
    """Start a server by a provider of ours, or by one that only has the blocking calls."""
    if isinstance(provider, Provider):
        return await provider.open(*what, timeout_s=timeout_s, **options)
    return await open_container(provider, what, timeout_s, options)


async def stop_provider(provider: Any) -> None:
    """Stop what a provider has started, whichever calls it has for that."""
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
    """Return the options of a client class, those of a provider, and how long to wait for it."""
    taken = _taken_by(client_cls)
    of_client, of_provider, timeout_s = {}, {}, READY_TIMEOUT_S
    for name, value in options.items():
        if name in _TIMEOUTS:
            timeout_s = value
        elif name == "request_timeout_s" and name not in taken:
            of_client["message_timeout_s"] = value
        elif name in taken and name not in ("base_url", "provider"):
            of_client[name] = value
        else:
            of_provider[name] = value
    return of_client, of_provider, timeout_s


def _taken_by(client_cls: Any) -> set[str]:
    """Return the names of what a class is made of, and of its bases' if it passes options on."""
    names: set[str] = set()
    for one in client_cls.__mro__:
        if "__init__" in vars(one):
            parameters = inspect.signature(vars(one)["__init__"]).parameters.values()
            names.update(parameter.name for parameter in parameters)
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
                break
    return names
