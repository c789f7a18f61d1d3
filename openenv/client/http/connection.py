"""HttpConnection: what Connection does, over plain HTTP: one request for each frame.

Owns the HTTP client, names of sessions, and when a request may be sent again. Payloads and episodes
are env.py's affair. Needs the extra `http`.
"""

from __future__ import annotations

import asyncio
import secrets
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from openenv.address import http_url, is_loopback, unix_path
from openenv.backoff import random_pause_s
from openenv.client.http.bodies import decode_result, decode_token, encode, error_of
from openenv.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLost,
    OpenEnvError,
    RequestTimeout,
    SessionExpired,
    SessionNotFoundError,
    to_wire,
)
from openenv.protocol.frames import (
    SESSION_HEADER,
    Close,
    Closed,
    Error,
    GetState,
    Open,
    Opened,
    Reset,
    StateReply,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from openenv.arrays import Encoding
    from openenv.client.ports import SessionListener

RECONNECT_S = 5.0
"How long a server may be out of reach before its sessions are given up."

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_NO_SUCH_PATH = (404, 405)


class HttpConnection:
    """Open it with `open`; then `request` from any number of tasks of the same event loop.

    A step is sent again when its connection breaks, and still runs once: the server knows it by its
    request_id. A server of the first release has one session, which has no name, and knows no ids.
    """

    def __init__(
        self, url: str, *, connect_timeout_s: float = 10.0, headers: Mapping[str, str] | None = None
    ) -> None:
        self._url = url
        self._connect_timeout_s = connect_timeout_s
        self._headers = dict(headers or {})
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_first_release = False
        self._tokens: dict[int, str] = {}
        self._listeners: dict[int, SessionListener] = {}
        self._turns: dict[int, asyncio.Lock] = {}
        self._closing: set[asyncio.Task[Any]] = set()
        self._prefix = secrets.token_hex(4)
        self.next_id = count(1).__next__
        self._next_number = count(1).__next__

    # ---- life

    @property
    def is_open(self) -> bool:
        """Whether requests can be made."""
        return self._http is not None

    @property
    def is_multiplexed(self) -> bool:
        """Whether many sessions fit."""
        return not self._is_first_release

    @property
    def encoding(self) -> Encoding:
        """How payloads of replies are encoded."""
        return "json" if self._is_first_release else "msgpack"

    @property
    def session_count(self) -> int:
        """How many sessions are open here."""
        return len(self._listeners)

    async def open(self) -> None:
        """See whether a server is there. Raises ConnectError, ConfigurationError."""
        loop = asyncio.get_running_loop()
        if self._http is not None:
            self._check_loop(loop)
            return
        base_url, socket_path = http_url(self._url), unix_path(self._url)
        http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket_path) if socket_path else None,
            base_url=base_url,
            headers=self._headers,
            timeout=httpx.Timeout(None, connect=self._connect_timeout_s),
            # A proxy for the outside must not be asked for servers on this machine.
            trust_env=not is_loopback(base_url),
        )
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await http.get("/health")
        except (httpx.TransportError, TimeoutError) as error:
            await http.aclose()
            raise ConnectError(
                f"no openenv server answers at {self._url}: {_name(error)}"
            ) from error
        self._http, self._loop = http, loop

    async def aclose(self) -> None:
        """Close the connections; sessions that are still open end by themselves."""
        if self._closing:
            await asyncio.wait(self._closing, timeout=self._connect_timeout_s)
        http, self._http = self._http, None
        if http is None:
            return
        for number in list(self._listeners):
            self._lose(number, "the connection was closed")
        await http.aclose()

    # ---- sessions

    def next_session(self, listener: SessionListener) -> int:
        """Allocate a session number; the listener is told when its session turns out to be gone."""
        number = self._next_number()
        self._listeners[number] = listener
        self._turns[number] = asyncio.Lock()
        return number

    def forget_session(self, number: int) -> None:
        """The session is closed: its listener is told nothing more."""
        self._listeners.pop(number, None)

    def _lose(self, number: int, why: str) -> None:
        self._tokens.pop(number, None)
        self._turns.pop(number, None)
        listener = self._listeners.pop(number, None)
        if listener is not None:
            listener.session_closed(why)

    # ---- requests

    async def request(self, frame: Any, timeout_s: float) -> Any:
        """Send a request and return its reply frame.

        Raises what the reply says, ConnectionLost, RequestTimeout or PayloadError.
        """
        self._check_loop(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(timeout_s) as limit:
                return await self._perform(frame)
        except TimeoutError as error:
            if not limit.expired():  # a StepTimeout, the server's
                raise
            raise RequestTimeout(
                "no reply in time; whether the request ran is unknown: reset or close the session"
            ) from error

    def give_up(self, frame: Any) -> None:
        """Nothing to do: cancelling an HTTP request has closed its connection."""

    async def request_many(self, frames: Sequence[Any], timeout_s: float) -> list[Any]:
        """Send many requests at once; return the reply frames in their order, errors included."""

        async def answer(frame: Any) -> Any:
            try:
                return await self.request(frame, timeout_s)
            except OpenEnvError as error:
                return Error(frame.id, *to_wire(error))

        return await asyncio.gather(*(answer(frame) for frame in frames))

    async def stream(self, frame: Step, timeout_s: float) -> AsyncIterator[Any]:
        """Send a step and yield its reply; over HTTP nothing comes before the last one."""
        yield await self.request(frame, timeout_s)

    def push(self, frame: Any) -> None:
        """Send what has no reply that anybody waits for. HTTP cannot cancel: that is dropped."""
        if type(frame) is Close and self._http is not None:
            task = asyncio.get_running_loop().create_task(self._end(frame), name="openenv-close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _end(self, frame: Close) -> None:
        try:
            await self.request(frame, self._connect_timeout_s)
        except OpenEnvError:
            # The server ends a session that nobody uses anyway.
            return

    async def _perform(self, frame: Any) -> Any:
        """Do what a frame asks for."""
        kind = type(frame)
        if kind is Open:
            return await self._open_session(frame)
        if kind is Close:
            return await self._close_session(frame)
        turn = self._turns.get(frame.session)
        if turn is None:
            raise SessionExpired("it is not open")
        # In order, as on any other connection; and the server remembers the last step only.
        async with turn:
            if kind is GetState:
                return StateReply(frame.id, await self._send("GET", "/state", frame))
            path, content = _content_of(frame, self._prefix, with_id=not self._is_first_release)
            return decode_result(
                frame.id, await self._send("POST", path, frame, content), self.encoding
            )

    async def _open_session(self, frame: Open) -> Opened:
        content = {"label": frame.label, "wait_s": frame.wait_s, "session_id": frame.token}
        response = await self._exchange("POST", "/sessions", encode(content, "json"), {}, "json")
        if response.status_code in _NO_SUCH_PATH and error_of(response).code != "SESSION_NOT_FOUND":
            await self._expect_first_release()
            return Opened(frame.id, "")
        if response.is_error:
            raise error_of(response)
        token = self._tokens[frame.session] = decode_token(response)
        return Opened(frame.id, token)

    async def _expect_first_release(self) -> None:
        """Raise ConfigurationError for a server on which each HTTP request stands alone."""
        response = await self._exchange("GET", "/schema", None, {}, "json")
        if not response.is_error:
            raise ConfigurationError(
                f"the server at {self._url} keeps no episode between HTTP requests: use EnvClient"
            )
        self._is_first_release = True
        # After an error of its own, such a server drops the connection that it announced to keep.
        self._headers["Connection"] = "close"

    async def _close_session(self, frame: Close) -> Closed:
        token = self._tokens.pop(frame.session, None)
        self._turns.pop(frame.session, None)
        if token is not None:
            path = f"/sessions/{quote(token, safe='')}"
            response = await self._exchange("DELETE", path, None, {}, self.encoding, repeats=True)
            if response.is_error and response.status_code not in _NO_SUCH_PATH:
                raise error_of(response)
        return Closed(frame.id, frame.session, "closed")

    async def _send(self, method: str, path: str, frame: Any, content: Any = None) -> bytes:
        """Send a session's request; return the body of its reply."""
        number, headers = frame.session, {}
        if number in self._tokens:
            headers[SESSION_HEADER] = self._tokens[number]
        data = None if content is None else encode(content, self.encoding)
        try:
            response = await self._exchange(
                method,
                path,
                data,
                headers,
                self.encoding,
                # A reset that reaches the server twice begins the episode anew, which harms nobody.
                repeats=method == "GET" or not self._is_first_release,
            )
        except ConnectionLost as lost:
            self._lose(number, str(lost))
            raise
        if not response.is_error:
            return response.content
        error = error_of(response)
        if isinstance(error, SessionNotFoundError | SessionExpired):
            reason = "the server no longer knows it"
            self._lose(number, reason)
            raise SessionExpired(reason) from error
        raise error

    # ---- HTTP

    async def _exchange(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: dict[str, str],
        encoding: Encoding,
        *,
        repeats: bool = False,
    ) -> httpx.Response:
        """Send a request until there is an answer. Raises ConnectionLost.

        One that may have been received is sent again only if it `repeats` without harm.
        """
        if self._http is None or self._loop is None:
            raise ConnectionLost("the connection is not open")
        media_type = f"application/{encoding}"
        headers = {**self._headers, "Accept": media_type, **headers}
        if data is not None:
            headers["Content-Type"] = media_type
        deadline_s, attempt = 0.0, 0
        while True:
            try:
                return await self._http.request(method, path, content=data, headers=headers)
            except httpx.TransportError as error:
                deadline_s = deadline_s or self._loop.time() + RECONNECT_S
                was_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if (was_sent and not repeats) or self._loop.time() >= deadline_s:
                    raise ConnectionLost(
                        f"the server at {self._url} is lost: {_name(error)}"
                    ) from error
            await asyncio.sleep(random_pause_s(attempt, _FIRST_PAUSE_S, _LONGEST_PAUSE_S))
            attempt += 1

    def _check_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._http is None:
            raise ConnectionLost("the connection is not open")
        if loop is not self._loop:
            raise ConfigurationError(
                "this client is connected on another event loop: make a client per loop"
            )


def _name(error: Exception) -> str:
    """Return what an error says; many of them say nothing."""
    return str(error) or type(error).__name__


def _content_of(frame: Reset | Step, prefix: str, *, with_id: bool) -> tuple[str, dict[str, Any]]:
    """Return the path and the body of a request."""
    if isinstance(frame, Reset):
        named = {"seed": frame.seed, "episode_id": frame.episode_id, **(frame.options or {})}
        return "/reset", {name: value for name, value in named.items() if value is not None}
    content: dict[str, Any] = {"action": frame.action}
    if frame.timeout_s is not None:
        content["timeout_s"] = frame.timeout_s
    if with_id:
        content["request_id"] = f"{prefix}-{frame.id}"
    return "/step", content
