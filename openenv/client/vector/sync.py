"""SyncVectorClient: the blocking form of VectorClient, method by method, over the shared portal.

Every call runs on the portal's event loop (blocking/portal.py). Knows the vector only as
AsyncVector; client.py has it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

from openenv.client.blocking import portal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openenv.client.vector.autoreset import AutoresetMode
    from openenv.client.vector.results import Array, Infos


class AsyncVector(Protocol):
    """The calls of VectorClient that its blocking form wraps."""

    num_envs: int
    autoreset_mode: AutoresetMode

    @property
    def metadata(self) -> dict[str, Any]:
        """What Gymnasium's vectors say of themselves."""

    @property
    def in_flight(self) -> list[int]:
        """Sessions whose results have been asked for and not been received yet."""

    async def connect(self) -> object:
        """Open the sessions."""

    async def close(self) -> None:
        """End all sessions."""

    async def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Any, Infos]:
        """Begin episodes."""

    async def step(
        self, actions: Any, *, mask: Any = None, timeout_s: float | None = None
    ) -> tuple[Any, Array, Array, Array, Infos]:
        """Step."""

    async def async_reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin episodes; `recv` returns the observations."""

    async def send(
        self,
        actions: Any,
        env_ids: Sequence[int] | Array | None = None,
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Step some sessions; `recv` returns the results."""

    async def recv(self, m: int | None = None) -> tuple[Any, Array, Array, Array, Infos]:
        """Return the results that are ready first."""


class SyncVectorClient:
    """Wraps a vector of a pool that is not open yet.

    `with openenv.connect(url).vector(64, MyEnv).sync() as vector:`
    """

    def __init__(self, async_client: AsyncVector) -> None:
        self._client = async_client

    @property
    def async_client(self) -> AsyncVector:
        """The vector underneath; it lives on the portal's event loop."""
        return self._client

    @property
    def num_envs(self) -> int:
        """How many sessions there are."""
        return self._client.num_envs

    @property
    def autoreset_mode(self) -> AutoresetMode:
        """When a session whose episode is over begins the next one."""
        return self._client.autoreset_mode

    @property
    def metadata(self) -> dict[str, Any]:
        """What Gymnasium's vectors say of themselves."""
        return self._client.metadata

    @property
    def in_flight(self) -> list[int]:
        """Sessions whose results have been asked for with `send` and not been received yet."""
        return self._client.in_flight

    def connect(self) -> Self:
        """Open the pool and the sessions; `reset` does it too."""
        portal.run(self._client.connect)
        return self

    def close(self) -> None:
        """End all sessions, whatever they are doing."""
        portal.run(self._client.close)

    def __enter__(self) -> Self:
        """Open the sessions."""
        return self.connect()

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Any, Infos]:
        """Begin episodes; return observations and infos."""
        return portal.run(partial(self._client.reset, seed=seed, options=options))

    def step(
        self, actions: Any, *, mask: Any = None, timeout_s: float | None = None
    ) -> tuple[Any, Array, Array, Array, Infos]:
        """Step; return observations, rewards, terminations, truncations and infos."""
        return portal.run(partial(self._client.step, actions, mask=mask, timeout_s=timeout_s))

    def async_reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin episodes as `reset` does; `recv` returns the observations."""
        portal.run(partial(self._client.async_reset, seed=seed, options=options))

    def send(
        self,
        actions: Any,
        env_ids: Sequence[int] | Array | None = None,
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Step these sessions, or all, each with its action; `recv` returns the results."""
        portal.run(partial(self._client.send, actions, env_ids, timeout_s=timeout_s))

    def recv(self, m: int | None = None) -> tuple[Any, Array, Array, Array, Infos]:
        """Return the results of the first `m` sessions that are ready; None: of all in flight."""
        return portal.run(self._client.recv, m)
