"""Start: chooses where an environment's server comes from: a running one, a container, a process.

Owns the order in which these are tried, and the line that tells the user which it is. Starts
nothing: the chosen provider does (providers/).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError, ImageNotFound, ProviderError, ProviderUnavailable
from openenv.providers.docker import LocalDockerProvider
from openenv.providers.docker_cleanup import started
from openenv.providers.docker_daemon import docker_client
from openenv.providers.docker_images import find_image
from openenv.providers.docker_options import ContainerOptions
from openenv.providers.health import health_status
from openenv.providers.hub_api import space_git, space_image
from openenv.providers.process import ProcessProvider, RuntimeProvider
from openenv.providers.space import SpaceProvider
from openenv.providers.uv import UVProvider, find_uv, missing_here

if TYPE_CHECKING:
    from openenv.hub.discovery import LocalEnvironment

KINDS = ("docker", "process", "uv")
"The providers that a caller may choose by name."


@dataclass(frozen=True)
class Start:
    """The chosen server: the URL of a running one, or a provider and what it has to start."""

    description: str
    url: str | None = None
    provider: Any = None
    what: tuple[Any, ...] = ()


def plan_start(
    environment: LocalEnvironment,
    provider: Any = None,
    image: str | None = None,
    *,
    may_share: bool = True,
) -> Start:
    """Choose the server of an environment. Starts nothing, but asks Docker what it has.

    `provider` is a provider, or the name of a kind. `may_share` allows a running shared server.
    Raises ConfigurationError, ProviderError.
    """
    if provider == "docker" or (image is not None and provider is None):
        return _container(image or _image_here(environment) or environment.manifest.images[0])
    if provider == "process":
        description = f"a process of this Python serves {environment.place}"
        return Start(description, None, ProcessProvider(), (str(environment.folder),))
    if provider == "uv":
        return _own_installation(environment, "as was asked for")
    if isinstance(provider, str):
        raise ConfigurationError(f"no provider is called {provider!r}: {', '.join(KINDS)}")
    if provider is not None:
        serves_folder = isinstance(provider, RuntimeProvider)
        what = str(environment.folder) if serves_folder else image or environment.manifest.images[0]
        return Start(f"{type(provider).__name__} serves {what}", None, provider, (what,))
    # For a folder serve the code in it: an image may have been built from older code.
    in_docker = (
        None if environment.origin == "folder" else _from_docker(environment, may_share=may_share)
    )
    return in_docker or _from_folder(environment)


def plan_space(space: str, provider: Any = None, image: str | None = None) -> Start:
    """Choose the server of a Space: the running Space itself, unless a provider is given.

    Raises ConfigurationError.
    """
    if provider == "docker" or (image is not None and provider is None):
        return _container(image or space_image(space))
    if provider == "uv":
        return Start(f"a process serves a copy of {space}", None, UVProvider(), (space_git(space),))
    if isinstance(provider, str):
        raise ConfigurationError(
            f"a Space is not served by {provider!r}, but by docker, by uv, or where it is"
        )
    if provider is None:
        return Start(f"the Space {space} runs it", None, SpaceProvider(), (space,))
    if isinstance(provider, SpaceProvider):
        what = space
    elif isinstance(provider, RuntimeProvider):
        what = space_git(space)
    else:
        what = image or space_image(space)
    return Start(f"{type(provider).__name__} serves {what}", None, provider, (what,))


def _from_docker(environment: LocalEnvironment, *, may_share: bool) -> Start | None:
    """Return a running container or a local image; None if there is neither."""
    try:
        running = _running(environment) if may_share else None
        if running is not None:
            return running
        image = _image_here(environment)
    except ProviderError:  # Docker is not there, or this user may not use it
        return None
    return None if image is None else _container(image)


def _running(environment: LocalEnvironment) -> Start | None:
    """Return a running container of the environment that any client may use."""
    names = {name.partition(":")[0] for name in environment.manifest.images}
    with docker_client() as client:
        for container in started(client):
            repository = container.image.rpartition("/")[2].partition(":")[0].replace("_", "-")
            # A container that is not shared ends with the program that started it.
            is_for_all = container.is_shared and container.status == "running"
            if (
                is_for_all
                and repository in names
                and container.url
                and health_status(container.url) == 200
            ):
                return Start(
                    f"the container {container.name} runs already, at {container.url}",
                    container.url,
                )
    return None


def _image_here(environment: LocalEnvironment) -> str | None:
    """Return the environment's image if Docker has it."""
    here = ContainerOptions(pull="never")
    with docker_client() as client:
        for name in environment.manifest.images:
            try:
                find_image(client, name, here, threading.Event())
            except ImageNotFound:
                continue
            return name
    return None


def _container(image: str) -> Start:
    return Start(f"a container of {image}", None, LocalDockerProvider(), (image,))


def _from_folder(environment: LocalEnvironment) -> Start:
    missing = missing_here(environment.folder)
    if not missing:
        return plan_start(environment, "process")
    names = ", ".join(missing)
    try:
        find_uv()
    except ProviderUnavailable:
        raise ProviderUnavailable(
            f"{environment.name} needs {names}, which this Python does not have: pip install "
            f"{' '.join(missing)}; or pip install uv, and it gets an installation of its own"
        ) from None
    return _own_installation(environment, f"as this Python does not have {names}")


def _own_installation(environment: LocalEnvironment, why: str) -> Start:
    description = f"a process with an installation of its own serves {environment.place}, {why}"
    return Start(description, None, UVProvider(), (str(environment.folder),))
