"""Finds a container's image on this machine, or pulls it. docker.py makes containers of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.address import DEFAULT_PORT
from openenv.errors import ImageNotFound, ProviderError
from openenv.providers.docker_daemon import refusal

if TYPE_CHECKING:
    import threading

    from openenv.providers.docker_options import ContainerOptions


def find_image(
    client: Any, name: str, options: ContainerOptions, is_cancelled: threading.Event
) -> Any:
    """Return the docker.models.Image of this name; pull it if `options.pull` says so.

    `my_env` finds a local `my-env` too, and the other way round. Raises ImageNotFound.
    """
    if options.pull != "always":
        for candidate in _spellings(name):
            image = _local(client, candidate)
            if image is not None:
                return image
    if options.pull == "never":
        raise ImageNotFound(_missing(name, "it may not be pulled (pull='never')"))
    _pull(client, name, options.platform, is_cancelled)
    image = _local(client, name)
    if image is None:
        raise ImageNotFound(_missing(name, "and what was pulled has another name"))
    return image


def exposed_port(image: Any) -> int:
    """Return the port on which an image's server listens: the only one it exposes, else 8000."""
    exposed = [port for port in image.attrs["Config"].get("ExposedPorts") or {} if "/tcp" in port]
    return int(exposed[0].partition("/")[0]) if len(exposed) == 1 else DEFAULT_PORT


def _spellings(name: str) -> list[str]:
    folder, slash, last = name.rpartition("/")
    repository, colon, tag = last.partition(":")
    spellings = (repository, repository.replace("_", "-"), repository.replace("-", "_"))
    return list(dict.fromkeys(f"{folder}{slash}{spelling}{colon}{tag}" for spelling in spellings))


def _local(client: Any, name: str) -> Any:
    from docker.errors import ImageNotFound as NoSuchImage  # noqa: PLC0415 - slow to import

    try:
        return client.images.get(name)
    except NoSuchImage:
        return None


def _pull(client: Any, name: str, platform: str | None, is_cancelled: threading.Event) -> None:
    from docker.errors import APIError  # noqa: PLC0415 - slow to import
    from docker.utils import parse_repository_tag  # noqa: PLC0415

    repository, tag = parse_repository_tag(name)
    try:
        # Read the progress as a stream, so that a cancelled pull can return: the daemon stops
        # pulling when the connection closes.
        lines = client.api.pull(
            repository, tag or "latest", stream=True, decode=True, platform=platform
        )
        for line in lines:
            if "error" in line:
                raise ImageNotFound(_missing(name, f"pulling it fails: {line['error']}"))
            if is_cancelled.is_set():
                raise ProviderError(f"pulling {name} was given up")
    except APIError as error:
        raise ImageNotFound(_missing(name, refusal(error))) from error


def _missing(name: str, why: str) -> str:
    return (
        f"there is no image {name} here, and {why}. Build it with `openenv build` in the "
        f"environment's folder, or pull it with `docker pull {name}`"
    )
