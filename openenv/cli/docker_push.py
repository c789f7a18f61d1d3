"""Pushes images to a registry: the image's name there, the login, the progress, and the digest.

Talks to the daemon, which talks to the registry. docker_build.py has built the image before.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError, ImageNotFound, ProviderError
from openenv.providers.docker_daemon import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openenv.manifest import Manifest

_REPOSITORY = re.compile(r"[\w.-]+(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)

_UNAUTHORIZED = re.compile(r"no basic auth|unauthorized|authentication required|denied|\b401\b")
_NOT_THERE = re.compile(r"connection refused|no such host|no route|timeout|unreachable|lookup|EOF")
_NOT_HTTPS = re.compile(r"server gave HTTP response|http: server gave|x509:")
_ENDED = ("Pushed", "Layer already exists", "Mounted from")


@dataclass(frozen=True)
class Login:
    """The user who pushes, and the password."""

    username: str
    password: str = field(repr=False)


def repository_in(registry: str, namespace: str | None, manifest: Manifest) -> str:
    """Return the name of an environment's image in a registry, such as `ghcr.io/me/echo-env`.

    Raises ConfigurationError.
    """
    scheme, separator, _ = registry.partition("://")
    if separator:
        raise ConfigurationError(
            f"--registry {registry}: a registry is named without {scheme}://, as in ghcr.io/me"
        )
    parts = (registry, namespace or "", manifest.images[0].partition(":")[0])
    repository = "/".join(part.strip("/") for part in parts if part)
    if not _REPOSITORY.fullmatch(repository):
        raise ConfigurationError(
            f"{repository!r} is no name of an image in a registry, such as ghcr.io/me/echo-env: "
            "small letters and digits, and between them . _ or -"
        )
    return repository


def check_tag(tag: str) -> str:
    """Return the tag unchanged. Raises ConfigurationError if it is not a valid one."""
    if not _TAG.fullmatch(tag):
        raise ConfigurationError(
            f"--tag {tag}: a tag has letters, digits, _ . and -, such as 1.0; the image's name is "
            "made of --registry, --namespace and the manifest's name"
        )
    return tag


def log_in(client: Any, repository: str, login: Login) -> None:
    """Let a registry check the login, without storing it. Raises ProviderError."""
    from docker.errors import APIError  # noqa: PLC0415 - slow to import

    host = host_of(repository)
    try:
        client.login(
            username=login.username,
            password=login.password,
            registry=None if host == "docker.io" else host,
            reauth=True,
        )
    except APIError as error:
        reason = str(error.explanation or error).strip()
        if _UNAUTHORIZED.search(reason):
            why = "are user name and password right?"
        else:
            why = _remedy(reason, host, login)
        refused = f"{host} refuses the login of {login.username}"
        raise ProviderError(f"{refused}: {reason} ({why})") from error


def push_image(
    client: Any,
    source: str,
    target: tuple[str, str],
    login: Login | None = None,
    show: Callable[[str], None] = lambda _: None,
) -> str:
    """Push a local image to (repository, tag) and return its digest; `show` gets the progress.

    Raises ImageNotFound if there is no such local image, ProviderError if the registry refuses it.
    """
    from docker.errors import ImageNotFound as NoSuchImage  # noqa: PLC0415 - slow to import

    try:
        image = client.images.get(source)
    except NoSuchImage as error:
        raise ImageNotFound(
            f"there is no image {source} here: leave out --no-build, and it is built first"
        ) from error
    with _tagged(client, image, target):
        return _sent(client, target, login, show)


@contextmanager
def _tagged(client: Any, image: Any, target: tuple[str, str]) -> Iterator[None]:
    """Tag an image with `target`; if the block raises, restore the tag as it was before."""
    from docker.errors import DockerException, ImageNotFound  # noqa: PLC0415 - slow to import

    name = ":".join(target)
    try:
        before = client.images.get(name)
    except ImageNotFound:
        before = None
    image.tag(*target)
    try:
        yield
    except BaseException:
        with suppress(DockerException):  # the first error is the one to report
            if before is None:
                client.images.remove(name, noprune=True)
            else:
                before.tag(*target)
        raise


def _sent(
    client: Any, target: tuple[str, str], login: Login | None, show: Callable[[str], None]
) -> str:
    """Push the image with this tag, and return its digest."""
    from docker.errors import APIError  # noqa: PLC0415 - slow to import

    repository, tag = target
    auth = {"username": login.username, "password": login.password} if login else None
    progress = _PushProgress()
    digest = reason = ""
    try:
        lines = client.api.push(repository, tag, stream=True, decode=True, auth_config=auth)
        for line in lines:
            # Do not stop at an error: the SDK closes its socket only at the end of the stream.
            reason = str(line.get("error", reason))
            digest = (line.get("aux") or {}).get("Digest", digest)
            show(progress.feed(line))
    except APIError as error:
        raise ProviderError(_failure(repository, refusal(error), login)) from error
    if reason or not digest:
        reason = reason or "Docker gave up without saying why"
        raise ProviderError(_failure(repository, reason, login))
    return digest


def host_of(repository: str) -> str:
    """Return the host of a repository's registry; docker.io if the name contains none."""
    from docker.auth import resolve_repository_name  # noqa: PLC0415 - slow to import

    return str(resolve_repository_name(repository)[0])


class _PushProgress:
    """Adds up the progress of all layers from the daemon's lines about each."""

    def __init__(self) -> None:
        self._layers: dict[str, bool] = {}
        self._sent: dict[str, tuple[int, int]] = {}

    def feed(self, line: dict[str, Any]) -> str:
        layer, status = line.get("id"), str(line.get("status", ""))
        if layer is not None:
            self._layers[layer] = status.startswith(_ENDED)
            detail = line.get("progressDetail") or {}
            if "current" in detail:
                # The daemon sends the layer as a tar file, which is larger than the `total` it
                # has announced.
                size = max(detail["current"], detail.get("total", 0))
                self._sent[layer] = (detail["current"], size)
        sent, size = (sum(column) for column in zip((0, 0), *self._sent.values(), strict=True))
        ended = sum(self._layers.values())
        layers = f"{ended} of {len(self._layers)} layers"
        return f"{layers}, {sent / 1e6:.0f} of {size / 1e6:.0f} MB" if size else layers


def _failure(repository: str, reason: str, login: Login | None) -> str:
    host = host_of(repository)
    return f"{repository} cannot be pushed: {reason.strip()} ({_remedy(reason, host, login)})"


def _remedy(reason: str, host: str, login: Login | None) -> str:
    if _NOT_HTTPS.search(reason):
        return f"for a registry without TLS, name {host} in insecure-registries of daemon.json"
    if _UNAUTHORIZED.search(reason):
        if login is not None:
            return f"may {login.username} push there?"
        return f"give --username and --password-stdin, or `docker login {host}` first"
    if _NOT_THERE.search(reason):
        return f"does a registry answer at {host}?"
    return "the registry's own log may say more"
