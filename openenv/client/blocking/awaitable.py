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

    Without a running event loop `make` runs at once, and its errors are raised here. Inside one it
    waits for what comes first: `await` runs it there and blocks nothing, a method of the blocking
    client runs it on the portal. After one of them the other raises LocalProtocolError. `close`
    also stops what `make` has started, and so does Python when it collects a blocking client; once
    awaited, that is the async client's to do.
    """

    def __init__(self, make: Callable[[], Awaitable[AsyncClient[ActT, ObsT, StateT]]]) -> None:
        """Take the function that starts what is needed and returns a client not yet connected."""
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
            # Connected, it is held by tasks of its own, so that nothing else would ever close it.
            self._collected = weakref.finalize(self, _close_forgotten, self._made, os.getpid())
            self._collected.atexit = False  # its provider's part then
        return self._made

    @property
    def async_client(self) -> AsyncClient[ActT, ObsT, StateT]:
        """The client underneath, which is to be closed by whoever takes it."""
        client = self._client
        if self._collected is not None:
            self._collected.detach()
        return client

    def close(self) -> None:
        """Close the session, the connection and what was started. Nothing, once it is awaited."""
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
        """Start what is needed, unless it is, and connect."""
        return self._connected().__await__()

    def send(self, value: Any) -> Any:
        """Run on, as a coroutine: `asyncio.run` and tasks take nothing else."""
        if self._running is None:
            self._running = self._connected()
        return self._running.send(value)

    def throw(
        self,
        typ: Any,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        """Raise inside, as a coroutine does: this is how it is cancelled."""
        if self._running is None:
            self._running = self._connected()
        # One argument, as the form of three is deprecated.
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
    """Close a client that nobody holds any more; not a parent's, after a fork."""
    if pid == os.getpid():
        # Python may collect on any thread, that of the portal too, which must not wait for itself.
        threading.Thread(target=_close, args=(client,), daemon=True).start()


def _close(client: AsyncClient[Any, Any, Any]) -> None:
    try:
        portal.run(client.close)
    except (OpenEnvError, OSError) as error:
        logger.warning("a client that nobody held any more could not be closed: %s", error)
