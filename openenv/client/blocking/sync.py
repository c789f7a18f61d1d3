"""SyncEnvClient: the blocking form of EnvClient, method by method, over the one shared portal.

Every call runs on the portal's event loop (portal.py). Knows the async client only as AsyncClient
(ports.py); awaitable.py has the form that can also be awaited.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self

from openenv.client.blocking import portal
from openenv.models import ActT, ObsT, StateT, StepResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from openenv.client.ports import AsyncClient


class SyncEnvClient(Generic[ActT, ObsT, StateT]):
    """Wraps an EnvClient that is not connected yet: `with MyEnv(url).sync() as env:`."""

    _client_cls: ClassVar[Any] = None
    "The class that the constructors below make: GenericEnvClient, set by the client package."

    def __init__(self, async_client: AsyncClient[ActT, ObsT, StateT]) -> None:
        self._client = async_client

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return a generic client of the server at this URL."""
        return cls(cls._client_cls.from_url(url, **options))

    @classmethod
    def from_docker_image(
        cls, image: str, provider: Any = None, **options: Any
    ) -> SyncEnvClient[ActT, ObsT, StateT]:
        """Start a container of an image and return its generic client; `close` removes it."""
        return cls._client_cls.from_docker_image(image, provider, **options)  # type: ignore[no-any-return]

    @classmethod
    def from_env(
        cls, repo_id: str, *, use_docker: bool = True, provider: Any = None, **options: Any
    ) -> SyncEnvClient[ActT, ObsT, StateT]:
        """Serve a copy of a Space on this machine and return its generic client."""
        return cls._client_cls.from_env(  # type: ignore[no-any-return]
            repo_id, use_docker=use_docker, provider=provider, **options
        )

    @property
    def async_client(self) -> AsyncClient[ActT, ObsT, StateT]:
        """The client underneath; it lives on the portal's event loop."""
        return self._client

    @property
    def base_url(self) -> str:
        """The server's URL as http(s)."""
        return self._client.base_url

    @property
    def session_token(self) -> str | None:
        """The session's name on every transport. None before it is open."""
        return self._client.session_token

    def connect(self) -> Self:
        """Connect to the server; `reset` does it too. Raises ConnectError."""
        portal.run(self._client.connect)
        return self

    def attach(self, token: str) -> Self:
        """Go on with a living session, wherever it was opened, by its `session_token`.

        Closing this client closes that session. Raises SessionNotFoundError.
        """
        portal.run(self._client.attach, token)
        return self

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **options: Any
    ) -> StepResult[ObsT]:
        """Begin an episode and return its first observation."""
        return portal.run(partial(self._client.reset, seed, episode_id, **options))

    def step(self, action: ActT, timeout_s: float | None = None) -> StepResult[ObsT]:
        """Apply an action and return what is observed."""
        return portal.run(self._client.step, action, timeout_s)

    def stream(self, action: ActT, timeout_s: float | None = None) -> Iterator[StepResult[ObsT]]:
        """Apply an action and yield its partial results as they come; the last is the step's."""
        results: AsyncIterator[StepResult[ObsT]] = self._client.stream(action, timeout_s)
        try:
            while True:
                try:
                    yield portal.run(results.__anext__)
                except StopAsyncIteration:
                    return
        finally:
            portal.run(results.aclose)  # type: ignore[attr-defined]  # an async generator

    def state(self) -> StateT:
        """Return the episode's state."""
        return portal.run(self._client.state)

    def close(self) -> None:
        """Close the session, the link and what the provider started."""
        portal.run(self._client.close)

    def disconnect(self) -> None:
        """Close the session and the link, but nothing that a provider started."""
        portal.run(self._client.disconnect)

    def __enter__(self) -> Self:
        """Connect."""
        return self.connect()

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
