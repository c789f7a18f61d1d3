"""What providers have in common: they start something that listens, and stop what they started.

Knows nothing of clients. A provider is used through `open` and `aclose`, or as the blocking calls
that each kind has beside them. docker.py is one; health.py finds out whether a server answers.
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
"How long a server may take until it answers, unless told otherwise."


@dataclass(frozen=True)
class Endpoint:
    """Where a started server is reached."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    "What every request needs, a token for instance."


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
        """Return how what was started has come to its end by itself; None if that is unknown.

        A client asks when it has lost its connection, to know whether trying again is of use.
        """
        return None


class ContainerProvider(Provider):
    """A provider of containers, by three blocking calls; `open` and `aclose` are made of them."""

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
    """Return environment variables, by name, as texts. Raises ConfigurationError."""
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
        # It may have been started all the same. What raises by itself has nothing to be stopped.
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
    """Call a blocking function on a thread; a cancelled caller waits for its end all the same.

    What the function was about to start would be lost otherwise, and never be stopped. `on_cancel`
    may tell it to hurry.
    """
    call = partial(copy_context().run, function, *arguments, **options)
    # A thread of its own, which ends with the call: the loop's are few, and may all be waiting.
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
            running.exception()  # looked at, so that nobody is told that it was not
        raise cancelled
    return running.result()
