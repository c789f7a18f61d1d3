"""Who plays: the same episode over WebSocket, in the dialect of existing clients, and over HTTP.

Each player has one session; what it sees is plain JSON, so that episodes can be compared whichever
way they came.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from openenv import arrays
from openenv.address import is_loopback, websocket_url
from openenv.cli.validation.http import JsonCaller
from openenv.cli.validation.report import CheckFailed
from openenv.client.generic import GenericEnvClient
from openenv.errors import ConnectError, EnvironmentFault, OpenEnvError, RequestTimeout
from openenv.rollout.sampler import ActionSampler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openenv.cli.validation.http import Reply
    from openenv.models import StepResult

_OK = 200
_BAD_REQUEST = range(400, 500)

_json = msgspec.json.Encoder(enc_hook=arrays.enc_hook_json)
"The numbers that JSON lacks become null, as from a server."


class Refused(OpenEnvError):
    """The server refused a request, rather than to act on it."""


@dataclass(frozen=True)
class Seen:
    """What a reset or a step came to. What the environment raised is seen too."""

    observation: Any = None
    reward: Any = None
    is_over: bool = False
    fault: str | None = None


@dataclass
class PlayedEpisode:
    """What was done and seen, from reset on."""

    seed: int
    seen: list[Seen] = field(default_factory=list)
    actions: list[Any] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.seen[-1].is_over

    @property
    def faults(self) -> list[str]:
        """What the environment raised."""
        return [seen.fault for seen in self.seen if seen.fault is not None]

    def difference(self, other: PlayedEpisode) -> str | None:
        """Return where another episode of the same actions differs first; None if nowhere."""
        for number, (mine, theirs) in enumerate(zip(self.seen, other.seen, strict=False)):
            for name in ("fault", "observation", "reward", "is_over"):
                here, there = getattr(mine, name), getattr(theirs, name)
                if here != there:
                    when = f"step {number}" if number else "reset"
                    return f"{name} of {when}: {_short(here)} and then {_short(there)}"
        if len(self.seen) != len(other.seen):
            return f"{len(self.seen) - 1} steps and then {len(other.seen) - 1}"
        return None


class EpisodePlayer(Protocol):
    """A session, to be used in `async with`, which ends it."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def reset(self, seed: int) -> Seen:
        """Begin an episode."""

    async def step(self, action: Any) -> Seen:
        """Act. Raises Refused for what is no action."""

    async def state(self) -> Any:
        """Return the state."""


async def play(
    player: EpisodePlayer, schema: Mapping[str, Any], seed: int, max_turns: int
) -> PlayedEpisode:
    """Play an episode with actions drawn from their schema, the same for the same seed."""
    draw = ActionSampler(schema).for_episode("", seed)
    episode = PlayedEpisode(seed, [await player.reset(seed)])
    while not episode.is_over and len(episode.actions) < max_turns:
        episode.actions.append(draw(episode.seen[-1].observation))
        episode.seen.append(await player.step(episode.actions[-1]))
    return episode


class WebSocketPlayer:
    """Plays with this package's own client."""

    def __init__(self, url: str, timeout_s: float, wait_s: float = 0.0) -> None:
        self._timeout_s = timeout_s
        self._client = GenericEnvClient(
            url, connect_timeout_s=timeout_s, message_timeout_s=timeout_s, wait_s=wait_s
        )

    async def __aenter__(self) -> Self:
        await self._client.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._client.close()
        except RequestTimeout as error:
            late = f"closing the session took longer than {self._timeout_s:g} s"
            raise CheckFailed(f"{late}: does the environment's close() return?") from error

    async def reset(self, seed: int) -> Seen:
        """Begin an episode."""
        return _seen(await self._client.reset(seed=seed))

    async def step(self, action: Any) -> Seen:
        """Act."""
        try:
            return _seen(await self._client.step(action))
        except EnvironmentFault as error:
            return Seen(fault=str(error))

    async def state(self) -> Any:
        """Return the state."""
        return _plain(await self._client.state())


class LegacyPlayer:
    """Plays as clients of the published releases do: a socket is a session, in JSON."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = websocket_url(url)
        self._timeout_s = timeout_s
        self._socket: Any = None

    async def __aenter__(self) -> Self:
        try:
            self._socket = await connect(
                self._url,
                open_timeout=self._timeout_s,
                max_size=None,
                proxy=None if is_loopback(self._url) else True,
            )
        except (OSError, WebSocketException) as error:
            raise ConnectError(f"{self._url}: {error}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._socket.send('{"type": "close"}')
                # The session has ended when the server closes its end.
                await self._socket.wait_closed()
        except (TimeoutError, WebSocketException):
            await self._socket.close()

    async def reset(self, seed: int) -> Seen:
        """Begin an episode."""
        return await self._act({"type": "reset", "data": {"seed": seed}})

    async def step(self, action: Any) -> Seen:
        """Act."""
        return await self._act({"type": "step", "data": action})

    async def state(self) -> Any:
        """Return the state."""
        return (await self._ask({"type": "state"}))["data"]

    async def _act(self, message: dict[str, Any]) -> Seen:
        reply = await self._ask(message)
        data = reply.get("data") or {}
        if reply.get("type") != "error":
            return _seen_in(data)
        reason = str(data.get("message"))
        if data.get("code") == "EXECUTION_ERROR":
            return Seen(fault=reason)
        raise Refused(f"{data.get('code')}: {reason}")

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._socket.send(json.dumps(message))
                reply = json.loads(await self._socket.recv())
        except TimeoutError:
            raise ConnectError(f"no reply to {message['type']} in {self._timeout_s} s") from None
        except WebSocketException as error:
            raise ConnectError(f"the socket was closed: {error}") from error
        except ValueError as error:
            raise ConnectError(f"the server sent something that is no JSON: {error}") from error
        return reply if isinstance(reply, dict) else {"data": reply}


class HttpPlayer:
    """Plays with POST requests; a cookie says which session is meant."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._http = JsonCaller(url, timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.request("POST", "/close", {})

    async def reset(self, seed: int) -> Seen:
        """Begin an episode."""
        return _answered(await self._http.request("POST", "/reset", {"seed": seed}))

    async def step(self, action: Any) -> Seen:
        """Act."""
        return _answered(await self._http.request("POST", "/step", {"action": action}))

    async def state(self) -> Any:
        """Return the state."""
        return (await self._http.request("GET", "/state")).body


def _answered(reply: Reply) -> Seen:
    if reply.status == _OK and isinstance(reply.body, dict):
        return _seen_in(reply.body)
    told = reply.body if isinstance(reply.body, dict) else {}
    reason = str(told.get("message") or told.get("detail") or "no message")
    if reply.status in _BAD_REQUEST:
        raise Refused(f"{reply.status}: {reason}")
    return Seen(fault=reason)


def _seen_in(data: dict[str, Any]) -> Seen:
    return Seen(data.get("observation"), data.get("reward"), bool(data.get("done")))


def _seen(result: StepResult[Any]) -> Seen:
    observation, reward = _plain((result.observation, result.reward))
    return Seen(observation, reward, result.done or result.truncated)


def _plain(value: Any) -> Any:
    return json.loads(_json.encode(value))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
