"""ContainerOptions: how a container is confined, equipped and reached, in Docker's terms.

Pure: checks keyword arguments, and accepts the names that other providers use for them. Does not
know the Docker daemon; docker.py passes the options to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from openenv.errors import ConfigurationError

PullPolicy = Literal["missing", "always", "never"]

PIDS_LIMIT = 1024
"The default limit of processes. Threads count too, and a browser has some hundreds."
SOCKET_FOLDER = "/run/openenv"
"The folder for the socket, inside a container without a network."
SOCKET_NAME = "server.sock"

# Option name that existing code uses -> our option.
_ALIASES: dict[str, str] = {
    "cpu_limit": "cpus",
    "memory_gb": "memory",
    "memory_limit": "memory",
    "mem_limit": "memory",
    "network_mode": "network",
}
_MEMORY = re.compile(r"\d+(\.\d+)?[bkmg]?b?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ContainerOptions:
    """The options of `start_container` besides image, port and environment variables."""

    memory: str | int | None = None
    "The memory limit, '2g' or bytes, without swap. The kernel kills a server that exceeds it."
    cpus: float | None = None
    "The CPU limit, in cores; 1.5 is the time of one and a half."
    gpus: str | int | Sequence[str] | None = None
    "'all', a number of GPUs, or the names of the devices."
    network: str = "bridge"
    "'bridge', 'none', or a network's name. With 'none' the URL is that of a Unix domain socket."
    read_only: bool = False
    "Whether the root file system is read-only. /tmp stays writable, unless `tmpfs` replaces it."
    tmpfs: str | Sequence[str] | Mapping[str, str] | None = None
    "Folders in memory: '/tmp:size=64m', a list of such, or a mapping of folder to options."
    cap_drop: Sequence[str] = ("ALL",)
    cap_add: Sequence[str] = ()
    no_new_privileges: bool = True
    pids_limit: int = PIDS_LIMIT
    volumes: Sequence[str] | Mapping[str, Any] = ()
    "'/here:/there:ro', a list of such, or a mapping of the host's path to the container's."
    user: str | int | None = None
    platform: str | None = None
    pull: PullPolicy = "missing"
    runtime: str | None = None
    "Docker's name of the container runtime, such as 'runsc' for gVisor."
    init: bool = True
    "Whether Docker adds an init process. Without one Python is process 1 and ignores SIGTERM."
    shm_size: str | int | None = None
    command: str | Sequence[str] | None = None
    "Replaces the image's command."
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    container_port: int | None = None
    "The server's port inside the container. Default: the image's only exposed port, else 8000."
    host: str | None = None
    "The address of Docker's machine on which the port is published. Default: 127.0.0.1."

    @classmethod
    def of(cls, keywords: Mapping[str, Any]) -> Self:
        """Return the options of these keyword arguments.

        Raises ConfigurationError for an unknown name or an invalid value.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(keywords.keys() - known - _ALIASES.keys())
        if unknown:
            raise ConfigurationError(
                f"no option of a container: {', '.join(unknown)}. There are "
                f"{', '.join(sorted(known))}"
            )
        values: dict[str, Any] = {}
        for given, value in keywords.items():
            name = _ALIASES.get(given, given)
            if value is None:
                continue
            if name in values:
                raise ConfigurationError(f"{name} is given twice, once as {given}: leave out one")
            values[name] = _in_bytes(value) if given == "memory_gb" else value
        return cls(**values)

    def __post_init__(self) -> None:
        """Raise ConfigurationError for values that Docker would refuse later or misunderstand."""
        for kind, names, fits in _KINDS:
            for name in names:
                value = getattr(self, name)
                if value is not None and not fits(value):
                    raise ConfigurationError(f"{name} is {kind}, not {value!r}")
        if self.memory is not None and not _MEMORY.fullmatch(str(self.memory)):
            raise ConfigurationError(f"memory is written like '512m' or '2g', not {self.memory!r}")
        if self.pull not in get_args(PullPolicy):
            raise ConfigurationError(f"pull is missing, always or never, not {self.pull!r}")
        for name in ("cpus", "pids_limit", "container_port"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                raise ConfigurationError(f"{name} must be a number above 0, not {value!r}")
        self._volumes()
        if self.network == "host" or self.network.startswith("container:"):
            raise ConfigurationError(
                f"network {self.network!r} would share ports with others: use bridge, none, or a "
                "network of Docker's by name"
            )

    @property
    def has_network(self) -> bool:
        """Whether the container has a network, so that a port can be published."""
        return self.network != "none"

    def for_docker(self) -> dict[str, Any]:
        """Return the options as keyword arguments of the SDK's `containers.create`."""
        limited = {} if self.memory is None else {"memswap_limit": self.memory}
        security = ["no-new-privileges"] if self.no_new_privileges else []
        chosen = {
            "mem_limit": self.memory,
            **limited,
            "nano_cpus": None if self.cpus is None else int(self.cpus * 1e9),
            "network": None if self.network == "bridge" or not self.has_network else self.network,
            "network_mode": None if self.has_network else "none",
            "read_only": self.read_only,
            "tmpfs": self._tmpfs(),
            "cap_drop": _listed(self.cap_drop),
            "cap_add": _listed(self.cap_add),
            "security_opt": security,
            "pids_limit": self.pids_limit,
            "volumes": self._volumes(),
            "user": None if self.user is None else str(self.user),
            "platform": self.platform,
            "runtime": self.runtime,
            "device_requests": self._devices(),
            "init": self.init,
            "shm_size": self.shm_size,
            "command": self.command,
        }
        return {name: value for name, value in chosen.items() if value not in (None, [], {})}

    def _tmpfs(self) -> dict[str, str]:
        given = self.tmpfs
        if given is None:
            return {"/tmp": ""} if self.read_only else {}
        if not isinstance(given, str) and hasattr(given, "items"):
            return dict(given.items())
        parts = (text.partition(":") for text in _listed(given))
        return {path: options for path, _, options in parts}

    def _devices(self) -> list[dict[str, Any]]:
        if self.gpus in (None, 0):
            return []
        if self.gpus == "all" or isinstance(self.gpus, int):
            which: dict[str, Any] = {"count": -1 if self.gpus == "all" else self.gpus}
        else:
            which = {"device_ids": _listed(self.gpus)}
        return [which | {"capabilities": [["gpu"]]}]

    def _volumes(self) -> list[str]:
        given = self.volumes
        if hasattr(given, "items"):
            given = [_volume(source, target) for source, target in given.items()]
        return [_absolute(text) for text in _listed(given)]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_mapping(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, "items")


def _is_listed(value: Any) -> bool:
    is_several = isinstance(value, Collection) and not _is_mapping(value)
    return is_several and all(map(_is_text, value))


_KINDS: tuple[tuple[str, tuple[str, ...], Callable[[Any], bool]], ...] = (
    ("text", ("network", "platform", "runtime", "name", "host"), _is_text),
    ("True or False", ("read_only", "no_new_privileges", "init"), _is_flag),
    ("text or a list of texts", ("cap_drop", "cap_add", "command"), _is_listed),
    (
        "text, a list of texts, or a mapping",
        ("tmpfs", "volumes"),
        lambda value: _is_mapping(value) or _is_listed(value),
    ),
    ("a mapping", ("labels",), _is_mapping),
)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_bytes(memory_gb: Any) -> int:
    if not _is_number(memory_gb):
        raise ConfigurationError(f"memory_gb must be a number, not {memory_gb!r}")
    return int(memory_gb * 2**30)


def _listed(given: Any) -> list[Any]:
    return [given] if isinstance(given, str) else list(given)


def _volume(source: str, target: Any) -> str:
    if isinstance(target, str):
        return f"{source}:{target}"
    if not _is_mapping(target) or "bind" not in target:
        raise ConfigurationError(
            f"volumes: {source!r} becomes a folder inside, or {{'bind': folder, 'mode': 'ro'}}, "
            f"not {target!r}"
        )
    return f"{source}:{target['bind']}:{target.get('mode', 'rw')}"


def _absolute(volume: str) -> str:
    """Return the volume with an absolute path; the name of a Docker volume stays as it is."""
    source, colon, rest = volume.partition(":")
    if not colon:
        raise ConfigurationError(f"a volume is written like /here:/there:ro, not {volume!r}")
    if source.startswith(("/", ".", "~")):
        source = str(Path(source).expanduser().resolve())
    return f"{source}:{rest}"
