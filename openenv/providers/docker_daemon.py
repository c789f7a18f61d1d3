"""The Docker daemon: its address, the connection to it, and the meaning of its errors.

Imports the SDK late, because that is slow to import and belongs to the extra `docker`. Knows
nothing of environments; docker.py starts them.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from openenv.errors import ProviderError, ProviderUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL_SCHEMES = ("unix", "http+unix", "npipe")

# Pattern of the daemon's error message -> what the user can do about it.
_REMEDIES = {
    "permission denied while trying to connect": "let this user use Docker",
    "port is already allocated": "leave out the port, and Docker gives a free one",
    "address already in use": "leave out the port, and Docker gives a free one",
    "name .* is already in use": "choose another name, or none",
    "network .* not found": "make it with `docker network create`",
    "could not select device driver": "GPUs need the NVIDIA Container Toolkit on Docker's machine",
    "unknown runtime specified": "install the runtime, and name it in Docker's daemon.json",
    "unknown or invalid runtime": "install the runtime, and name it in Docker's daemon.json",
    "does not match the specified platform": "build or pull it for that one",
    "no such host": "is the registry's name right, and is there a network?",
    "pull access denied": "is the name right? a private image needs `docker login`",
}


@contextmanager
def docker_client() -> Iterator[Any]:
    """Yield a docker.DockerClient of the daemon that the `docker` command would use.

    Raises ProviderUnavailable if there is no daemon. Errors of the SDK inside the block become
    ProviderError.
    """
    try:
        import docker  # noqa: PLC0415 - the SDK is slow to import
        from requests.exceptions import RequestException  # noqa: PLC0415 - comes with docker
    except ModuleNotFoundError as error:
        raise ProviderUnavailable(
            f"containers need {error.name}: pip install 'openenv[docker]'"
        ) from error
    address = _address()
    try:
        client = docker.DockerClient(**address)
    except docker.errors.DockerException as error:
        raise ProviderUnavailable(_unreachable(error, address)) from error
    try:
        yield client
    except docker.errors.APIError as error:
        raise ProviderError(refusal(error)) from error
    except (docker.errors.DockerException, RequestException) as error:
        raise ProviderError(f"Docker failed: {error}") from error
    finally:
        client.close()


def daemon_host() -> str | None:
    """Return the host name of the daemon's machine; None if it is this one."""
    parts = urlsplit(_address().get("base_url") or "unix://")
    return None if parts.scheme in LOCAL_SCHEMES else parts.hostname


def refusal(error: Any) -> str:
    """Return the message of a docker.errors.APIError, with what the user can do about it."""
    reason = str(error.explanation or error).strip()
    remedy = next((do for sign, do in _REMEDIES.items() if re.search(sign, reason.lower())), None)
    return f"Docker refuses: {reason}" + (f" ({remedy})" if remedy else "")


def _address() -> dict[str, Any]:
    """Return the daemon's address as arguments of DockerClient, from DOCKER_HOST or the context."""
    from docker.context import ContextAPI  # noqa: PLC0415 - the SDK is slow to import
    from docker.errors import DockerException  # noqa: PLC0415
    from docker.utils import kwargs_from_env  # noqa: PLC0415

    try:
        given: dict[str, Any] = kwargs_from_env()
        if "base_url" not in given:
            context = ContextAPI.get_current_context()
            if context is None:
                raise ProviderUnavailable(
                    "Docker's current context does not exist: choose one with `docker context use`"
                )
            if context.Host:
                given["base_url"] = context.Host
                given.setdefault("tls", context.TLSConfig or False)
    except (DockerException, OSError, ValueError) as error:
        raise ProviderUnavailable(f"Docker's settings are of no use: {error}") from error
    return given


def _unreachable(error: Exception, address: dict[str, Any]) -> str:
    where = address.get("base_url") or "its usual socket"
    is_elsewhere = urlsplit(where).scheme in ("tcp", "http", "https", "ssh")
    text = f"no Docker daemon answers at {where}"
    if "Permission denied" in str(error):
        user = os.environ.get("USER", "this user")
        return (
            f"{text}: {user} may not use it; add the user to the group `docker` and log in again, "
            "or use rootless Docker"
        )
    if is_elsewhere:
        return f"{text}: {_root(error)}. Is it right in DOCKER_HOST, or in the current context?"
    if "Connection" in str(error):
        remedy = "start Docker (`systemctl start docker`, or Docker Desktop)"
        if not Path("/usr/bin/dockerd").exists():
            remedy = f"install Docker, or {remedy}"
        return f"{text}: {remedy}, or say in DOCKER_HOST where it listens"
    return f"{text}: {error}"


def _root(error: BaseException) -> BaseException:
    """Return the innermost OSError of the chain: the SDK wraps it in several layers of messages."""
    root, cause = error, error.__context__
    while cause is not None:
        root, cause = (cause if isinstance(cause, OSError) else root), cause.__context__
    return root
