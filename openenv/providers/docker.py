"""LocalDockerProvider: runs an environment's server in a container of this machine's Docker.

Knows nothing of clients. docker_options.py has the options that confine a container;
docker_cleanup.py and watchdog.py remove containers that their owner did not stop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
import time
import uuid
import weakref
from contextlib import AsyncExitStack, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from openenv.address import LOOPBACK
from openenv.backoff import pause_s
from openenv.errors import (
    ConfigurationError,
    LocalProtocolError,
    ProviderError,
    StartupFailed,
    StartupTimeout,
)
from openenv.providers.base import (
    READY_TIMEOUT_S,
    ContainerProvider,
    Endpoint,
    check_timeout,
    checked_env_vars,
    in_thread,
)
from openenv.providers.docker_cleanup import (
    DETACHED,
    IMAGE_LABEL,
    OWNER_LABEL,
    START_LABEL,
    URL_LABEL,
    OwnedContainer,
    make_socket_folder,
    sweep,
    url_of,
)
from openenv.providers.docker_daemon import daemon_host, docker_client
from openenv.providers.docker_failures import (
    ended,
    has_ended,
    how_it_ended,
    too_late,
    unhealthy,
)
from openenv.providers.docker_images import exposed_port, find_image
from openenv.providers.docker_options import SOCKET_FOLDER, SOCKET_NAME, ContainerOptions
from openenv.providers.health import health_status
from openenv.providers.ownership import Owner
from openenv.providers.watchdog import watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

logger = logging.getLogger("openenv.providers")

STOP_TIMEOUT_S = 10
"How long a server may take to stop after SIGTERM before it is killed."


class LocalDockerProvider(ContainerProvider):
    """Runs one container at a time.

    `start_container`, `wait_for_ready` and `stop_container` block; `open` and `aclose` are the same
    for async code. `stop_container` removes the container. So does a failed start, and, unless the
    container is `detached`, the collection of the provider and any end of this process, even by
    SIGKILL. The options are those of ContainerOptions; they hold for every container it starts.
    """

    def __init__(self, *, detached: bool = False, **options: Any) -> None:
        """Keep the options; `start_container` is the first call that needs Docker."""
        ContainerOptions.of(options)
        self._options = options
        self._detached = detached
        self._charge: OwnedContainer | None = None
        self._release: weakref.finalize[..., LocalDockerProvider] | None = None
        self._is_cancelled = threading.Event()

    @property
    def container_name(self) -> str | None:
        """The container's name, for `openenv logs` and `docker exec`. None without a container."""
        return None if self._charge is None else self._charge.name

    # ---- blocking

    def start_container(
        self,
        image: str,
        port: int | None = None,
        env_vars: Mapping[str, str] | None = None,
        **options: Any,
    ) -> str:
        """Start a container of an image and return the URL at which its server will answer.

        `port` is a port of the host; without it Docker chooses a free one. Raises ProviderError if
        the image does not exist, Docker refuses, or the port is taken.
        """
        self._check_idle()
        chosen = ContainerOptions.of({**self._options, **options})
        self._is_cancelled.clear()
        with docker_client() as client:
            self._sweep(client)
            found = find_image(client, image, chosen, self._is_cancelled)
            arguments = self._arguments(image, found, port, env_vars, chosen)
            charge = self._take_charge(arguments)
            try:
                container = client.containers.create(found.id, **arguments)
                container.start()
                container.reload()
                return _url(container)
            except BaseException as error:
                self._undo(charge, error)
                raise

    def wait_for_ready(self, base_url: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return when the server answers GET /health with 200.

        Otherwise removes the container and raises: StartupFailed if it has ended or its health
        check fails, StartupTimeout if it did not answer in time.
        """
        check_timeout(timeout_s)
        if self._charge is None:
            raise LocalProtocolError("this provider runs no container: start_container first")
        try:
            for interval_s in _pauses(timeout_s):
                if self._is_ready(base_url):
                    return
                time.sleep(interval_s)
            raise self._too_late(base_url, timeout_s)
        except ProviderError:
            self.stop_container()
            raise

    def stop_container(self) -> None:
        """Stop and remove the container, if there is one and this process started it."""
        charge = self._charge
        if charge is not None and charge.pid == os.getpid():
            with docker_client() as client:
                charge.remove(client, STOP_TIMEOUT_S)
            self._let_go()

    # ---- async

    async def open(
        self, *what: Any, timeout_s: float = READY_TIMEOUT_S, **options: Any
    ) -> Endpoint:
        """Start a container as `start_container` does, and return when its server answers."""
        self._check_idle()
        check_timeout(timeout_s)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.aclose)
            cancel = self._is_cancelled.set
            url = await in_thread(self.start_container, *what, on_cancel=cancel, **options)
            for interval_s in _pauses(timeout_s):
                if await in_thread(self._is_ready, url):
                    undo.pop_all()
                    return Endpoint(url)
                await asyncio.sleep(interval_s)
            raise await in_thread(self._too_late, url, timeout_s)

    async def how_it_ended(self) -> str | None:
        """Return how the container ended; None if it runs, or if Docker cannot be asked."""
        return await in_thread(self._how_it_ended)

    # ---- starting

    def _check_idle(self) -> None:
        if self._charge is not None:
            raise LocalProtocolError(
                f"this provider runs {self._charge.name} already: stop_container first, or take "
                "another provider"
            )

    def _sweep(self, client: Any) -> None:
        try:
            removed = sweep(client)
        except ProviderError as error:
            logger.warning("containers that nobody owns any more could not be removed: %s", error)
        else:
            if removed:
                logger.warning("removed what had no owner any more: %s", ", ".join(removed))

    def _arguments(
        self,
        image: str,
        found: Any,
        port: int | None,
        env_vars: Mapping[str, str] | None,
        chosen: ContainerOptions,
    ) -> dict[str, Any]:
        """Return the keyword arguments of `containers.create`."""
        arguments = chosen.for_docker()
        environment = checked_env_vars(env_vars)
        if chosen.has_network:
            url, bind = _published(chosen)
            inside = chosen.container_port or exposed_port(found)
            arguments["ports"] = {f"{inside}/tcp": (bind, port)}
        else:
            if port is not None or daemon_host() is not None:
                raise ConfigurationError(
                    "a container without a network is reached by a Unix domain socket in a folder "
                    "that it shares with this machine: it has no port, and Docker must run here"
                )
            folder = make_socket_folder()
            url = f"unix:{folder / SOCKET_NAME}"
            arguments.setdefault("volumes", []).append(f"{folder}:{SOCKET_FOLDER}")
            environment["OPENENV_UDS"] = f"{SOCKET_FOLDER}/{SOCKET_NAME}"
        start = uuid.uuid4().hex
        labels = {
            **chosen.labels,
            START_LABEL: start,
            OWNER_LABEL: DETACHED if self._detached else str(Owner.this_process()),
            IMAGE_LABEL: image,
            URL_LABEL: url,
        }
        name = chosen.name or _name(image, start)
        return {**arguments, "environment": environment, "labels": labels, "name": name}

    def _take_charge(self, arguments: dict[str, Any]) -> OwnedContainer:
        """Register the container for removal, before it is created; return its handle.

        Unless it is detached it is removed however this process ends.
        """
        labels = arguments["labels"]
        charge = OwnedContainer(arguments["name"], labels[START_LABEL], labels[URL_LABEL])
        self._charge = charge
        if not self._detached:
            watchdog.watch()
            self._release = weakref.finalize(self, _remove_if_ours, charge)
        return charge

    def _let_go(self) -> None:
        """Forget a container that has been removed."""
        self._charge = None
        if self._release is not None and self._release.detach() is not None:
            watchdog.forget()

    def _undo(self, charge: OwnedContainer, error: BaseException) -> None:
        """Remove a container that could not be started."""
        from docker.errors import APIError  # noqa: PLC0415 - the SDK is slow to import

        is_gone = False
        with suppress(ProviderError), docker_client() as client:
            is_gone = charge.remove(client) or isinstance(error, APIError)
        if is_gone:
            self._let_go()
        else:
            # Docker may still be creating the container when we were interrupted. `_release` stays
            # registered and removes it when this process ends.
            self._charge = None

    # ---- readiness

    def _is_ready(self, base_url: str) -> bool:
        answers = health_status(base_url) == 200
        with docker_client() as client:
            # Ask Docker even if a server answers: the container may have ended, and another server
            # may have its port by now.
            container = self._container(client)
            if has_ended(container):
                raise ended(container)
            health = container.attrs["State"].get("Health", {}).get("Status")
            if not answers and health == "unhealthy":
                raise unhealthy(container)
        return answers

    def _how_it_ended(self) -> str | None:
        try:
            with docker_client() as client:
                container = self._container(client)
                if has_ended(container):
                    return f"the container {container.name} has ended: {how_it_ended(container)}"
        except StartupFailed:
            return "its container is gone"
        except ProviderError as error:
            logger.info("whether the container still runs could not be found out: %s", error)
        return None

    def _too_late(self, base_url: str, timeout_s: float) -> StartupTimeout:
        with docker_client() as client:
            return too_late(self._container(client), base_url, timeout_s)

    def _container(self, client: Any) -> Any:
        from docker.errors import NotFound  # noqa: PLC0415 - the SDK is slow to import

        name = self.container_name
        try:
            return client.containers.get(name)
        except NotFound as error:
            raise StartupFailed(
                f"the container {name} was removed by somebody before its server answered"
            ) from error


def _pauses(timeout_s: float) -> Iterator[float]:
    """Yield the pause before each next attempt, until the timeout has passed."""
    deadline, attempts = time.monotonic() + timeout_s, count()
    while time.monotonic() < deadline:
        yield pause_s(next(attempts), first_s=0.02, longest_s=0.25, factor=1.5)


def _published(chosen: ContainerOptions) -> tuple[str, str]:
    """Return the URL without its port, and the address to publish on."""
    remote = daemon_host()
    if remote is not None and chosen.host is None:
        raise ConfigurationError(
            f"Docker runs on {remote}: say with host= on which of its addresses the environment "
            "may be reached; 0.0.0.0 is all of them, for everyone"
        )
    bind = chosen.host or LOOPBACK
    reached_at = bind if bind != "0.0.0.0" else remote or LOOPBACK
    return f"http://[{reached_at}]" if ":" in reached_at else f"http://{reached_at}", bind


def _url(container: Any) -> str:
    url = url_of(container)
    if url is None:
        # The container has ended already, so it has no port; wait_for_ready raises the reason.
        return f"{container.labels[URL_LABEL]}:0"
    return url


def _name(image: str, start: str) -> str:
    """Return a unique name for a container, which contains the image's name."""
    slug = re.sub(r"[^a-z0-9_.-]+", "-", image.rpartition("/")[2].partition(":")[0].lower())
    return f"openenv-{slug.strip('-.').removeprefix('openenv-')}-{start[:8]}"


def _remove_if_ours(charge: OwnedContainer) -> None:
    """Remove a container at exit or when its provider is collected; not in a forked child."""
    if charge.pid == os.getpid():
        charge.remove_at_last()
        watchdog.forget()
