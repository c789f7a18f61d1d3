"""What openenv has started in Docker: who owns it, and the removal of what has no owner any more.

Whatever is started carries the label `openenv.owner`; nothing without it is ever touched. The
provider sweeps before it starts a container, `openenv prune` does when told, and watchdog.py when
a client has died.
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
"Of a container that `openenv run` has started."
START_LABEL = "openenv.start"
DETACHED = "detached"
"In the place of an owner: it was asked to outlive whoever started it."

SOCKETS_PREFIX = "openenv-sockets-"

OwnerStatus = Literal["alive", "dead", "elsewhere", "detached"]


@dataclass(frozen=True)
class RunningContainer:
    """A container that openenv has started, as the daemon describes it now."""

    name: str
    id: str
    image: str
    status: str
    "Docker's word: created, running, exited, ..."
    health: str | None
    url: str | None
    "None if no port is published any more."
    started_at: datetime
    owner: Owner | None
    "None if it is detached."
    is_shared: bool = False
    "Whether it is there for whoever asks, and not for one client."

    @classmethod
    def of(cls, container: Any) -> Self:
        """Read a docker.models.Container."""
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
        """What has become of its owner."""
        return _claim(self.owner)

    @property
    def is_orphaned(self) -> bool:
        """Whether nobody can want it any more."""
        return _is_orphaned(self.owner, self.status)


@dataclass(frozen=True)
class OwnedContainer:
    """A container that this process has to remove, told from any other of its name."""

    name: str
    start: str
    "Its label, which nothing else has."
    url: str
    pid: int = field(default_factory=os.getpid)

    def remove(self, client: Any, stop_timeout_s: int | None = None) -> bool:
        """Remove it, and the folder of its socket; False if it is not there."""
        removed = False
        with already_gone():
            container = client.containers.get(self.name)
            if container.labels.get(START_LABEL) == self.start:
                removed = remove(client, container.id, stop_timeout_s)
        remove_socket_folder(self.url)
        return removed

    def remove_at_last(self) -> None:
        """Remove it at exit, when there is nobody left to raise to."""
        try:
            with docker_client() as client:
                self.remove(client)
        except ProviderError as error:
            hint = "openenv prune removes it"
            logger.warning("container %s is left behind (%s): %s", self.name, hint, error)


def url_of(container: Any) -> str | None:
    """Return where a container's server is reached: its socket, or the port that Docker gave."""
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
        with suppress(ConfigurationError, KeyError):  # somebody else's idea of these labels
            containers.append(RunningContainer.of(container))
    return containers


def find(client: Any, name: str) -> RunningContainer:
    """Return the container of this name, of an id that begins so, or of an image.

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
    """Whether its id begins so, or its image is called so; without a tag, whatever its tag is."""
    rest = container.image.removeprefix(name)
    is_any = container.image.startswith(name) and rest.startswith((":", "@")) and "/" not in rest
    return container.id.startswith(name) or container.image == name or is_any


def sweep(client: Any) -> list[str]:
    """Remove the containers that have no living owner; return their names."""
    # The daemon's own list: it is asked before each start, and `started` asks for each container.
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
    """Remove a container and its volumes without a name; False if there is none.

    It is killed, unless it gets some seconds to stop by itself.
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
    """Be content if what is to be removed is gone, or is being removed by somebody else."""
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
    # The server's user inside is another one.
    folder.chmod(0o777)
    return folder


def remove_socket_folder(url: str) -> None:
    """Remove the folder of a container's socket, if the URL is that of one."""
    folder = Path(url.removeprefix("unix:")).parent.parent
    # A label is what anybody may write: only what make_socket_folder has made is removed.
    is_ours = folder.parent == Path(tempfile.gettempdir()) and not folder.is_symlink()
    if url.startswith("unix:") and is_ours and folder.name.startswith(SOCKETS_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
