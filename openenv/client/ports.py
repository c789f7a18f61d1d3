"""What the client's parts need of each other, as Protocols.

A part names the calls that it makes here instead of importing its caller, so that no files import
each other in a circle. link/ and http/ have the links, env.py the async client, pool.py the pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, Self

from typing_extensions import TypeVar

from openenv.models import ObsT, StepResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from openenv.arrays import Encoding
    from openenv.protocol.frames import Cancel, Close, Reply, Request, Step

ActT_contra = TypeVar("ActT_contra", contravariant=True, default=Any)
StateT_co = TypeVar("StateT_co", covariant=True, default=Any)


class SessionListener(Protocol):
    """A session's owner, which is told when the server ends the session."""

    def session_closed(self, reason: str) -> None:
        """Record that the session has ended."""


class RequestLink(Protocol):
    """A link that carries the requests of many sessions: ClientLink, or HttpConnection."""

    @property
    def is_open(self) -> bool:
        """Whether requests can be made."""

    @property
    def is_multiplexed(self) -> bool:
        """Whether the link carries more than one session."""

    @property
    def session_count(self) -> int:
        """How many sessions are open on the link."""

    @property
    def encoding(self) -> Encoding:
        """How payloads of replies are encoded."""

    @property
    def next_id(self) -> Callable[[], int]:
        """Allocate a request id."""

    async def open(self) -> None:
        """Connect, unless connected."""

    async def aclose(self) -> None:
        """Close the link; pending requests fail with ConnectionLost."""

    def next_session(self, listener: SessionListener) -> int:
        """Allocate a session number and register the session's listener."""

    def forget_session(self, number: int) -> None:
        """Remove the session's listener, because the session is closed."""

    def request(self, frame: Request, timeout_s: float) -> Awaitable[Reply]:
        """Send a request; the result is its reply, which may be an Error frame."""

    def give_up(self, frame: Request) -> None:
        """Stop waiting for the reply to a request."""

    async def request_many(self, frames: Sequence[Request], timeout_s: float) -> list[Reply]:
        """Send many requests; return their replies in the same order."""

    def stream(self, frame: Step, timeout_s: float) -> AsyncIterator[Reply]:
        """Send a streaming step; yield its partial results, then its result."""

    def push(self, frame: Cancel | Close) -> None:
        """Send a frame without waiting for a reply."""


class AsyncClient(Protocol, Generic[ActT_contra, ObsT, StateT_co]):
    """The calls of EnvClient that its blocking forms wrap."""

    @property
    def base_url(self) -> str:
        """The server's URL."""

    @property
    def session_token(self) -> str | None:
        """The session's name on every transport."""

    async def connect(self) -> Self:
        """Connect to the server."""

    async def attach(self, token: str) -> Self:
        """Continue a living session."""

    async def reset(
        self, seed: int | None = None, episode_id: str | None = None, **options: Any
    ) -> StepResult[ObsT]:
        """Begin an episode."""

    async def step(self, action: ActT_contra, timeout_s: float | None = None) -> StepResult[ObsT]:
        """Apply an action."""

    def stream(
        self, action: ActT_contra, timeout_s: float | None = None
    ) -> AsyncIterator[StepResult[ObsT]]:
        """Apply an action and yield its partial results, then its result."""

    async def state(self) -> StateT_co:
        """Return the episode's state."""

    async def close(self) -> None:
        """Close the session, the link and what the provider started."""

    async def disconnect(self) -> None:
        """Close the session and the link only."""

    async def __aenter__(self) -> Self:
        """Connect."""

    async def __aexit__(self, *_: object) -> None:
        """Close."""


class SessionPool(Protocol):
    """The calls of Pool that a vector makes."""

    is_open: bool

    async def __aenter__(self) -> object:
        """Connect."""

    async def __aexit__(self, *_: object) -> None:
        """Close."""

    async def sessions(
        self, count: int, client_cls: Any, *, wait_s: float, label: str | None
    ) -> list[Any]:
        """Open many sessions; return a client for each."""
