"""The containers that openenv has started: their owners, and the removal of orphaned ones.

Every container that openenv starts has the label `openenv.owner`; no other container is touched.
Orphans are removed by the provider before it starts a container, by `openenv prune`, and by
watchdog.py when a client has died.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from openenv.errors import ConfigurationError, ProviderError
from openenv.providers.docker_daemon import docker_client
from openenv.providers.ownership import Owner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

logger = logging.getLogger("openenv.providers")

OWNER_LABEL = "openenv.owner"
IMAGE_LABEL = "openenv.image"
URL_LABEL = "openenv.url"
SHARED_LABEL = "openenv.shared"
"The label of a container that `openenv run` has started, for every client."
START_LABEL = "openenv.start"
DETACHED = "detached"
"The owner label of a container that outlives the process that started it."

SOCKETS_PREFIX = "openenv-sockets-"

OwnerStatus = Literal["alive", "dead", "elsewhere", "detached"]


@dataclass(frozen=True)
class RunningContainer:
    """A container that openenv has started, as the daemon describes it now."""

    name: str
    id: str
    image: str
    status: str
    "Docker's status: created, running, exited, ..."
    health: str | None
    url: str | None
    "None if no port is published any more."
    started_at: datetime
    owner: Owner | None
    "None if it is detached."
    is_shared: bool = False
    "Whether any client may use it, and not only the one that started it."

    @classmethod
    def of(cls, container: Any) -> Self:
        """Make one from a docker.models.Container."""
        attributes, labels = container.attrs, container.labels
        state = attributes["State"]
        return cls(
            name=container.name,
            id=container.id,
            image=labels.get(IMAGE_LABEL) or attributes["Config"]["Image"],
            status=state["Status"],
            health=state.get("Health", {}).get("Status"),
            url=url_of(container),
            started_at=datetime.fromisoformat(attributes["Created"][:19]).replace(tzinfo=UTC),
            owner=_owner(labels),
            is_shared=SHARED_LABEL in labels or labels[OWNER_LABEL] == DETACHED,
        )

    @property
    def claim(self) -> OwnerStatus:
        """The status of its owner."""
        return _claim(self.owner)

    @property
    def is_orphaned(self) -> bool:
        """Whether its owner is dead, or it is detached and has exited."""
        return _is_orphaned(self.owner, self.status)


@dataclass(frozen=True)
class OwnedContainer:
    """A container that this process has to remove. `start` tells it from others with its name."""

    name: str
    start: str
    "The value of its label START_LABEL, which no other container has."
    url: str
    pid: int = field(default_factory=os.getpid)

    def remove(self, client: Any, stop_timeout_s: int | None = None) -> bool:
        """Remove it and the folder of its socket; return False if there is no such container."""
        removed = False
        with already_gone():
            container = client.containers.get(self.name)
            if container.labels.get(START_LABEL) == self.start:
                removed = remove(client, container.id, stop_timeout_s)
        remove_socket_folder(self.url)
        return removed

    def remove_at_last(self) -> None:
        """Remove it at exit; log a failure, because no caller is left to handle an error."""
        try:
            with docker_client() as client:
                self.remove(client)
        except ProviderError as error:
            hint = "openenv prune removes it"
            logger.warning("container %s is left behind (%s): %s", self.name, hint, error)


def url_of(container: Any) -> str | None:
    """Return the URL of a container's server, with its socket or the port that Docker chose."""
    url: str = container.labels.get(URL_LABEL, "")
    if url.startswith("unix:"):
        return url
    ports = container.attrs["NetworkSettings"]["Ports"] or {}
    published = next((bound[0] for bound in ports.values() if bound), None)
    return None if published is None else f"{url}:{published['HostPort']}"


def started(client: Any) -> list[RunningContainer]:
    """Return all containers that openenv has started, whoever owns them, newest first."""
    listed = client.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True)
    containers = []
    for container in listed:
        with suppress(ConfigurationError, KeyError):  # labels that openenv did not write
            containers.append(RunningContainer.of(container))
    return containers


def find(client: Any, name: str) -> RunningContainer:
    """Return the container with this name, or whose id begins with it, or with this image.

    Raises ConfigurationError.
    """
    everything = started(client)
    matches = [container for container in everything if container.name == name]
    matches = matches or [container for container in everything if _has(container, name)]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(container.name for container in matches or everything) or "none"
    problem = "names several containers" if matches else "names no container of openenv's"
    raise ConfigurationError(f"{name!r} {problem}; there are: {names}")


def _has(container: RunningContainer, name: str) -> bool:
    """Whether its id begins with the name, or its image has it; a name without a tag fits any."""
    rest = container.image.removeprefix(name)
    is_any = container.image.startswith(name) and rest.startswith((":", "@")) and "/" not in rest
    return container.id.startswith(name) or container.image == name or is_any


def sweep(client: Any) -> list[str]:
    """Remove the containers that have no living owner; return their names."""
    # The low-level list is one request; `started` makes another one for each container, which is
    # too slow before every start.
    listed = client.api.containers(all=True, filters={"label": OWNER_LABEL})
    names = []
    for listed_container in listed:
        with suppress(ConfigurationError):
            if _is_orphaned(
                _owner(listed_container["Labels"]), listed_container["State"]
            ) and remove(client, listed_container["Id"]):
                names.append(listed_container["Names"][0].lstrip("/"))
    return names


def remove(client: Any, name: str, stop_timeout_s: int | None = None) -> bool:
    """Remove a container and its anonymous volumes; return False if there is no such container.

    Without `stop_timeout_s` it is killed at once.
    """
    removed = False
    with already_gone():
        container = client.containers.get(name)
        if stop_timeout_s is not None:
            with already_gone():
                container.stop(timeout=stop_timeout_s)
        container.remove(force=True, v=True)
        removed = True
        remove_socket_folder(container.labels.get(URL_LABEL, ""))
    return removed


def _owner(labels: Mapping[str, str]) -> Owner | None:
    owner = labels[OWNER_LABEL]
    return None if owner == DETACHED else Owner.parse(owner)


def _claim(owner: Owner | None) -> OwnerStatus:
    if owner is None:
        return "detached"
    is_alive = owner.is_alive()
    return "elsewhere" if is_alive is None else "alive" if is_alive else "dead"


def _is_orphaned(owner: Owner | None, status: str) -> bool:
    claim = _claim(owner)
    return claim == "dead" or (claim == "detached" and status in ("exited", "dead"))


@contextmanager
def already_gone() -> Iterator[None]:
    """Suppress Docker's errors for a container that is gone or is being removed already."""
    from docker.errors import APIError  # noqa: PLC0415 - the SDK is slow to import

    try:
        yield
    except APIError as error:
        if error.status_code not in (404, 409):
            raise


def make_socket_folder() -> Path:
    """Return a new folder for a container's socket, inside one that only this user can enter."""
    private = Path(tempfile.mkdtemp(prefix=SOCKETS_PREFIX))
    folder = private / "shared"
    folder.mkdir()
    # The server in the container runs as another user, who must be able to create the socket.
    folder.chmod(0o777)
    return folder


def remove_socket_folder(url: str) -> None:
    """Remove the folder of a container's socket, if the URL is one of a socket."""
    folder = Path(url.removeprefix("unix:")).parent.parent
    # The URL may come from a label, which anybody can write: remove only folders of the form that
    # make_socket_folder makes.
    is_ours = folder.parent == Path(tempfile.gettempdir()) and not folder.is_symlink()
    if url.startswith("unix:") and is_ours and folder.name.startswith(SOCKETS_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
