"""AwaitableSyncClient: a client that async code awaits and blocking code uses as it is.

`X.from_docker_image(...)` returns one, because it cannot know which code calls it. Knows nothing of
starting servers: launch.py passes a function that starts the server and makes the client.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from openenv.client.blocking import portal
from openenv.client.blocking.sync import SyncEnvClient
from openenv.errors import LocalProtocolError, OpenEnvError
from openenv.models import ActT, ObsT, StateT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from types import TracebackType

    from openenv.client.ports import AsyncClient

logger = logging.getLogger("openenv.client")


class AwaitableSyncClient(
    SyncEnvClient[ActT, ObsT, StateT], Coroutine[Any, Any, "AsyncClient[ActT, ObsT, StateT]"]
):
    """A SyncEnvClient whose `await` gives the async client, connected.

    Without a running event loop `make` runs at once, and the constructor raises its errors. Inside
    a running loop the first use decides: `await` runs `make` on that loop, a method of the blocking
    client runs it on the portal. After one use the other raises LocalProtocolError.

    `close` also stops what `make` has started. Collecting a blocking client closes it. Once
    awaited, only the async client closes anything.
    """

    def __init__(self, make: Callable[[], Awaitable[AsyncClient[ActT, ObsT, StateT]]]) -> None:
        """`make` starts the server and returns a client that is not connected yet."""
        self._make = make
        self._made: AsyncClient[ActT, ObsT, StateT] | None = None
        self._use: str | None = None
        self._running: Coroutine[Any, Any, AsyncClient[ActT, ObsT, StateT]] | None = None
        self._collected: weakref.finalize[..., Any] | None = None
        if not _has_running_loop():
            self._made = portal.run(make)

    @property
    def _client(self) -> AsyncClient[ActT, ObsT, StateT]:  # type: ignore[override]
        """The client underneath, for a method of the blocking surface."""
        if self._use != "blocking":
            self._reserve_for("blocking")
        if self._made is None:
            self._made = portal.run(self._make)
        if self._collected is None:
            # A connected client is kept alive by its tasks: collecting this object must close it.
            self._collected = weakref.finalize(self, _close_forgotten, self._made, os.getpid())
            self._collected.atexit = False  # at exit the provider stops what it started
        return self._made

    @property
    def async_client(self) -> AsyncClient[ActT, ObsT, StateT]:
        """The client underneath; the caller must close it from now on."""
        client = self._client
        if self._collected is not None:
            self._collected.detach()
        return client

    def close(self) -> None:
        """Close the session, the link and what was started; after `await` do nothing."""
        if self._running is not None:
            self._running.close()
        if self._made is not None and self._use != "awaited":
            super().close()
            if self._collected is not None:
                self._collected.detach()

    def _reserve_for(self, use: str) -> None:
        if self._use not in (None, use):
            raise LocalProtocolError(
                "it was used as a blocking client, so it cannot be awaited any more"
                if use == "awaited"
                else "it was awaited: use the client that `await` returned"
            )
        self._use = use

    async def _connected(self) -> AsyncClient[ActT, ObsT, StateT]:
        self._reserve_for("awaited")
        if self._made is None:
            self._made = await self._make()
        try:
            return await self._made.connect()
        except BaseException:
            await self._made.close()
            raise

    # ---- awaiting, in every form that asyncio knows

    def __await__(self) -> Generator[Any, Any, AsyncClient[ActT, ObsT, StateT]]:
        """Start the server, unless it runs already, and connect."""
        return self._connected().__await__()

    def send(self, value: Any) -> Any:
        """Continue the awaiting: `asyncio.run` and tasks accept coroutines only."""
        if self._running is None:
            self._running = self._connected()
        return self._running.send(value)

    def throw(
        self,
        typ: Any,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        """Raise an error where the awaiting stands: asyncio cancels a coroutine so."""
        if self._running is None:
            self._running = self._connected()
        # Python deprecates the form with three arguments.
        error = val if isinstance(val, BaseException) else typ
        return self._running.throw(error)

    async def __aenter__(self) -> AsyncClient[ActT, ObsT, StateT]:
        """Await it, for `async with X.from_docker_image(...) as env`."""
        return await self

    async def __aexit__(self, *_: object) -> None:
        """Close the async client."""
        if self._made is not None:
            await self._made.close()


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _close_forgotten(client: AsyncClient[Any, Any, Any], pid: int) -> None:
    """Close a client that was collected, unless it belongs to the parent of a fork."""
    if pid == os.getpid():
        # Python may collect on the portal's own thread, which cannot wait for itself.
        threading.Thread(target=_close, args=(client,), daemon=True).start()


def _close(client: AsyncClient[Any, Any, Any]) -> None:
    try:
        portal.run(client.close)
    except (OpenEnvError, OSError) as error:
        logger.warning("a client that nobody held any more could not be closed: %s", error)
