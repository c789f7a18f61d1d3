"""The HTTP fallback: the same sessions as over /ws, one request at a time.

Owns which session a request is for: the one that its header or cookie names, else the server's
default session. bodies.py reads requests and writes replies and errors. Every request goes through
`Session.submit`, like a frame.
"""

from __future__ import annotations

import asyncio
import math
from functools import wraps
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from openenv.errors import NotReset, OpenEnvError, SessionExpired, from_wire
from openenv.protocol.frames import (
    SESSION_HEADER,
    Close,
    Error,
    GetState,
    Open,
    Opened,
    Reset,
    Step,
)
from openenv.server.http.bodies import (
    OpenBody,
    ResetBody,
    StepBody,
    read_body,
    reply_encoding,
    respond,
    respond_error,
    respond_frame,
)
from openenv.server.http.origin import HttpOrigin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import HTTPConnection, Request
    from starlette.routing import BaseRoute

    from openenv.arrays import Encoding
    from openenv.server.http.bodies import Body
    from openenv.server.ports import Call, Reply
    from openenv.server.sessions.registry import SessionRegistry
    from openenv.server.sessions.session import Session

SESSION_COOKIE = "openenv_session"

ABANDONED_S = 60.0
"How long a former default session may be idle before it ends."

SHOWN_S = math.inf
"A session is not ended for being idle while a visitor's socket shows it."

_CLIENT_GONE = 499


def http_routes(sessions: HttpSessions) -> list[BaseRoute]:
    """Return the routes of the fallback."""
    return [
        Route("/reset", sessions.reset, methods=["POST"]),
        Route("/step", sessions.step, methods=["POST"]),
        Route("/state", sessions.state, methods=["GET"]),
        Route("/close", sessions.close, methods=["POST"]),
        Route("/sessions", sessions.open_session, methods=["POST"]),
        Route("/sessions", sessions.list_sessions, methods=["GET"]),
        Route("/sessions/{session_id}", sessions.end_session, methods=["DELETE"]),
    ]


class Exchange:
    """One HTTP request with its body, and the encoding of its reply."""

    __slots__ = ("body", "encoding", "request")

    def __init__(self, request: Request, body: Body, encoding: Encoding) -> None:
        self.request = request
        self.body = body
        self.encoding = encoding

    def respond(self, frame: Reply) -> Response:
        """Return a session's reply as a response."""
        return respond_frame(frame, self.encoding, self.body)


class Played(NamedTuple):
    """A reset or step over HTTP: its session, its request frame, its reply frame and response."""

    session: Session
    frame: Any
    reply: Reply
    response: Response


def answering(
    endpoint: Callable[[Any, Exchange], Awaitable[Response]],
) -> Callable[[Any, Request], Awaitable[Response]]:
    """Return a Starlette endpoint that reads the body first and turns errors into responses."""

    @wraps(endpoint)
    async def answer(self: Any, request: Request) -> Response:
        encoding, body = reply_encoding(request), None
        try:
            await self.registry.start()
            body = await read_body(request, self.registry.config.max_message_bytes)
            return await endpoint(self, Exchange(request, body, encoding))
        except OpenEnvError as error:
            return respond_error(error, encoding, body)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_GONE)

    return answer


class HttpSessions:
    """The endpoints of one server; the object also remembers the server's default session."""

    def __init__(self, registry: SessionRegistry) -> None:
        self.registry = registry
        self._next_id = count(1).__next__
        self._default: str | None = None
        "The token of the session for requests that name none."
        self._is_claimed = False
        "Whether a request has named the default session: then another client may not replace it."

    # ---- endpoints

    @answering
    async def reset(self, exchange: Exchange) -> Response:
        """Begin an episode; in a new session if the request names none."""
        return (await self.begin(exchange)).response

    @answering
    async def step(self, exchange: Exchange) -> Response:
        """Apply an action. The same `request_id` again returns the same reply."""
        return (await self.act(exchange)).response

    @answering
    async def state(self, exchange: Exchange) -> Response:
        """Return the episode's state."""
        return await self.read_state(exchange)

    @answering
    async def close(self, exchange: Exchange) -> Response:
        """End the session, if there is one."""
        try:
            session = self.find(exchange.request)
        except NotReset:
            return respond({"closed": False}, exchange.encoding)
        response = await self._close(session, exchange)
        response.delete_cookie(SESSION_COOKIE, path=_cookie_path(exchange.request))
        return response

    @answering
    async def open_session(self, exchange: Exchange) -> Response:
        """Open a session without an episode; with `session_id`, check that this session exists."""
        content: OpenBody = exchange.body.decode(OpenBody)
        if content.session_id is not None:
            session = self.registry.find(content.session_id)
            session.is_named = True
            return respond({"session_id": session.token}, exchange.encoding)
        session = await self._open(content.label, content.wait_s, exchange)
        session.is_named = True
        return respond({"session_id": session.token}, exchange.encoding, status=201)

    @answering
    async def end_session(self, exchange: Exchange) -> Response:
        """End the session that the path names."""
        session = self.registry.find(exchange.request.path_params["session_id"])
        return await self._close(session, exchange)

    @answering
    async def list_sessions(self, exchange: Exchange) -> Response:
        """List the sessions, without their tokens: a token gives the right to act in a session."""
        registry = self.registry
        content = {
            "active_sessions": registry.active,
            "max_sessions": registry.max_sessions,
            "sessions": [
                _describe(session, registry.now_s) for session in registry.sessions.values()
            ],
        }
        return respond(content, exchange.encoding)

    # ---- what the endpoints do; webui/visitors.py calls these, too

    async def begin(self, exchange: Exchange) -> Played:
        """Reset the session that a request is for, or a new one."""
        content: ResetBody = exchange.body.decode(ResetBody)
        frame = Reset(
            self._next_id(), 0, content.seed, content.episode_id, exchange.body.options() or None
        )
        session = self._find_named(exchange.request, or_none=True)
        is_new = session is None
        if session is None:
            session = await self._open_nameless(exchange)
        reply = await self.ask(session, frame, exchange)
        if is_new and type(reply) is Error:
            # The client never received the session's token, so nobody could close the session.
            session.end("its first reset failed")
        response = exchange.respond(reply)
        if is_new and type(reply) is not Error and not self.registry.spec.is_shared:
            self._make_default(session)
            self._set_cookie(exchange.request, response, session.token)
        return Played(session, frame, reply, response)

    async def act(self, exchange: Exchange) -> Played:
        """Step in the session that a request is for."""
        content: StepBody = exchange.body.decode(StepBody)
        session = self.find(exchange.request)
        frame = Step(self._next_id(), 0, content.action, content.timeout_s)
        answer = _repeated(session, content.request_id)
        if answer is None:
            answer = self._submit(session, frame, exchange.body.encoding)
            if content.request_id is not None:
                session.last_reply = content.request_id, answer
        reply = await _wait(answer, exchange.request)
        return Played(session, frame, reply, exchange.respond(reply))

    async def read_state(self, exchange: Exchange) -> Response:
        """Read the state of the session that a request is for."""
        session = self.find(exchange.request)
        return exchange.respond(await self.ask(session, GetState(self._next_id(), 0), exchange))

    # ---- which session

    def find(self, request: HTTPConnection) -> Session:
        """Return the session of a request. Raises SessionError."""
        session = self._find_named(request) or self.registry.sessions.get(self._default or "")
        if session is None:
            raise NotReset("there is no session yet: POST /reset first")
        return session

    def _find_named(self, request: HTTPConnection, *, or_none: bool = False) -> Session | None:
        """Return the session that header or cookie name, or the one that all clients share.

        Browsers send a cookie with every request. With `or_none`, a cookie whose session has ended
        is therefore no error.
        """
        token = request.headers.get(SESSION_HEADER)
        if token:
            return self._claim(self.registry.find(token))
        cookie = request.cookies.get(SESSION_COOKIE)
        session = self.registry.sessions.get(cookie) if cookie else None
        if session is not None:
            return self._claim(session)
        if cookie and not or_none and not self.registry.spec.is_shared:
            raise SessionExpired(message="the session of this cookie has ended: POST /reset")
        return self.registry.shared

    def _claim(self, session: Session) -> Session:
        session.is_named = True
        if session.idle_limit_s != SHOWN_S:
            session.idle_limit_s = None
        if session.token == self._default:
            self._is_claimed = True
        return session

    def _make_default(self, session: Session) -> None:
        before = self.registry.sessions.get(self._default or "")
        self._default = session.token
        if before is not None and before.idle_limit_s is None and not self._is_claimed:
            # The client of the former default may still return with its cookie. Until then the
            # session is the first to end when a slot is needed.
            before.idle_limit_s = ABANDONED_S
        self._is_claimed = False

    async def _open_nameless(self, exchange: Exchange) -> Session:
        """Open a session for a client without one; if all slots are taken, end an abandoned one."""
        registry = self.registry
        wait_s = 0.0
        if registry.active >= registry.max_sessions:
            abandoned = next(filter(self._is_abandoned, registry.sessions.values()), None)
            if abandoned is not None:
                abandoned.end("another client has reset the server's default session")
                wait_s = registry.config.close_timeout_s
        return await self._open(None, wait_s, exchange)

    def _is_abandoned(self, session: Session) -> bool:
        if session.is_busy or session.idle_limit_s == SHOWN_S:
            return False
        is_unclaimed = session.token == self._default and not self._is_claimed
        return is_unclaimed or session.idle_limit_s is not None

    # ---- requests

    async def _open(self, label: str | None, wait_s: float, exchange: Exchange) -> Session:
        session = self.registry.open(label)
        origin = HttpOrigin(exchange.body.encoding)
        session.open(Open(self._next_id(), 0, wait_s, label), origin)
        try:
            reply = await _wait(origin.answer, exchange.request)
        except BaseException:
            session.end("its client went away before it was open")
            raise
        if type(reply) is not Opened:
            raise _error_of(reply)
        return session

    async def _close(self, session: Session, exchange: Exchange) -> Response:
        reply = await self.ask(session, Close(self._next_id(), 0), exchange)
        if type(reply) is Error:
            return exchange.respond(reply)
        return respond({"closed": True}, exchange.encoding)

    async def ask(self, session: Session, frame: Call, exchange: Exchange) -> Any:
        """Return the reply to a request. Raises ClientDisconnect."""
        answer = self._submit(session, frame, exchange.body.encoding)
        return await _wait(answer, exchange.request)

    def _submit(self, session: Session, frame: Call, encoding: Encoding) -> asyncio.Future[Reply]:
        origin = HttpOrigin(encoding)
        session.submit(frame, origin)
        return origin.answer

    def _set_cookie(self, request: Request, response: Response, token: str) -> None:
        response.set_cookie(
            SESSION_COOKIE, token, path=_cookie_path(request), httponly=True, samesite="lax"
        )


async def _wait(answer: asyncio.Future[Reply], request: Request) -> Any:
    """Return the reply. Raises ClientDisconnect when the client has closed its connection.

    The submitted request goes on: a step that has begun cannot be undone, and the client may send
    it again with the same request_id to get its reply.
    """
    if answer.done():
        return answer.result()
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if answer.done():
        return answer.result()
    raise ClientDisconnect


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _repeated(session: Session, request_id: str | None) -> asyncio.Future[Reply] | None:
    """Return the reply, or the step in flight, of a request that is sent again."""
    if request_id is None or session.last_reply is None or session.last_reply[0] != request_id:
        return None
    answer: asyncio.Future[Any] = session.last_reply[1]
    # A retryable refusal (a full queue) means that the step has not run: run it now.
    refused = answer.done() and type(answer.result()) is Error and answer.result().retryable
    return None if refused else answer


def _error_of(frame: Error) -> OpenEnvError:
    return from_wire(frame.code, frame.message, frame.details)


def _describe(session: Session, now_s: float) -> dict[str, Any]:
    return {
        "label": session.label,
        "episode_id": session.episode.episode_id,
        "step_count": session.episode.step_count,
        "busy": session.is_busy,
        "idle_s": round(max(0.0, now_s - session.touched_at_s), 1),
    }


def _cookie_path(request: Request) -> str:
    """Return the path at which this app is mounted, so that other apps do not get its cookie."""
    return request.scope.get("root_path") or "/"
