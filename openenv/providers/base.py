"""The contract of providers: a provider starts a server and stops it.

Knows nothing of clients. Async code uses a provider through `open` and `aclose`; each kind also has
blocking calls. docker.py is one kind; health.py finds out whether a server answers.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from openenv.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

READY_TIMEOUT_S = 30.0
"The default for how long a server may take until it answers."


@dataclass(frozen=True)
class Endpoint:
    """Where a started server is reached."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    "Headers that every request needs, such as one with a token."


class Provider(ABC):
    """Starts one server and stops it.

    `open` returns when the server answers. If it raises or is cancelled, nothing is left of what
    it started. A provider runs one server at a time, and may be opened again after `aclose`.
    """

    @abstractmethod
    async def open(
        self, *what: Any, timeout_s: float = READY_TIMEOUT_S, **options: Any
    ) -> Endpoint:
        """Start a server. Raises ProviderError, StartupTimeout if it does not answer in time."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop what `open` started, if it still runs."""

    async def how_it_ended(self) -> str | None:
        """Return how the server ended by itself; None if it still runs, or if that is unknown.

        A client that has lost its connection calls this to learn whether reconnecting can succeed.
        """
        return None


class ContainerProvider(Provider):
    """A provider of containers with three blocking calls, which `open` and `aclose` use."""

    @abstractmethod
    def start_container(
        self,
        image: str,
        port: int | None = None,
        env_vars: Mapping[str, str] | None = None,
        **options: Any,
    ) -> str:
        """Start a container of an image and return the URL at which its server will answer."""

    @abstractmethod
    def stop_container(self) -> None:
        """Stop and remove the container, if there is one."""

    @abstractmethod
    def wait_for_ready(self, base_url: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return when the server answers. Raises StartupTimeout."""

    async def open(
        self, *what: Any, timeout_s: float = READY_TIMEOUT_S, **options: Any
    ) -> Endpoint:
        """Start a container: `open(image, port, env_vars, **options)`."""
        return await open_container(self, what, timeout_s, options)

    async def aclose(self) -> None:
        """Stop the container."""
        await in_thread(self.stop_container)


def checked_env_vars(given: Any) -> dict[str, str]:
    """Return environment variables with their values as strings. Raises ConfigurationError."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"env_vars is a mapping such as {{'NAME': 'value'}}, not {given!r}"
        )
    return {name: str(value) for name, value in given.items()}


def check_timeout(timeout_s: Any) -> None:
    """Raise ConfigurationError if this is no number of seconds."""
    if not isinstance(timeout_s, int | float) or isinstance(timeout_s, bool):
        raise ConfigurationError(f"timeout_s is a number of seconds, not {timeout_s!r}")


async def open_container(
    provider: Any, what: tuple[Any, ...], timeout_s: float, options: Mapping[str, Any]
) -> Endpoint:
    """Start a container by the blocking calls of ContainerProvider, which any object may have."""
    try:
        url = await in_thread(provider.start_container, *what, **options)
    except asyncio.CancelledError:
        # The thread ran to its end, so the container may have started: stop it. After any other
        # error of start_container there is nothing to stop.
        await in_thread(provider.stop_container)
        raise
    try:
        await in_thread(provider.wait_for_ready, url, timeout_s=timeout_s)
    except BaseException:
        await in_thread(provider.stop_container)
        raise
    return Endpoint(url)


async def in_thread(
    function: Callable[..., T],
    *arguments: Any,
    on_cancel: Callable[[], None] | None = None,
    **options: Any,
) -> T:
    """Call a blocking function on a thread; when cancelled, wait for its end before raising.

    Otherwise nobody would know what the function has started, and stop it. `on_cancel` is called at
    each cancellation, and can make the function return early.
    """
    call = partial(copy_context().run, function, *arguments, **options)
    # A thread for this call alone: the event loop's default pool is small, and all of its threads
    # may be blocked.
    executor = ThreadPoolExecutor(1, "openenv-provider")
    running = asyncio.wrap_future(executor.submit(call))
    executor.shutdown(wait=False)
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
            if on_cancel is not None:
                on_cancel()
    if cancelled is not None:
        if not running.cancelled():
            running.exception()  # retrieved, so that asyncio does not log it as never retrieved
        raise cancelled
    return running.result()
