"""The routes that existing tools call: /web/reset, /web/step, /web/state and the socket /ws/ui.

They play in the sessions of the HTTP fallback, one for each visitor, and tell the visitor's sockets
what has happened. The page of this package uses none of them: it plays over /ws.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import msgspec
from starlette.routing import BaseRoute, Route, WebSocketRoute

from openenv.codec import decode_any
from openenv.errors import EnvironmentFault, NotReset, SessionError, from_wire
from openenv.protocol.frames import SESSION_HEADER, Error, Result
from openenv.server.http.bodies import Body, StepBody
from openenv.server.http.sessions import SESSION_COOKIE, SHOWN_S, answering
from openenv.server.runners.queries import EnvironmentQuery, has
from openenv.webui.episode_log import EpisodeLog, encode

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.responses import Response
    from starlette.websockets import WebSocket

    from openenv.server.http.sessions import Exchange, HttpSessions, Played
    from openenv.server.sessions.session import Session

VISITOR_COOKIE = "openenv_visitor"
"Says whose socket it is, before its visitor has a session."


class Words(StepBody, kw_only=True):
    """A step of whoever talks to an environment: words in place of an action."""

    action: msgspec.Raw = msgspec.Raw()
    message: str | None = None


class Socket:
    """A visitor's /ws/ui."""

    def __init__(self, visitor: str, *, is_browsers: bool) -> None:
        self.visitor = visitor
        self.is_known = is_browsers
        "Whether its cookie comes with requests, or will; or else its tool keeps none."
        self.session: Session | None = None
        self.log = EpisodeLog()
        self.has_news = asyncio.Event()


class Visitors:
    """The endpoints."""

    def __init__(self, sessions: HttpSessions) -> None:
        self.sessions = sessions
        self.registry = sessions.registry
        self._logs: dict[str, EpisodeLog] = {}
        "By the token of the session."
        self._sockets: set[Socket] = set()

    @property
    def routes(self) -> list[BaseRoute]:
        """All of them."""
        return [
            Route("/web/reset", self.reset, methods=["POST"]),
            Route("/web/step", self.step, methods=["POST"]),
            Route("/web/state", self.state, methods=["GET"]),
            WebSocketRoute("/ws/ui", self.show),
        ]

    @answering
    async def reset(self, exchange: Exchange) -> Response:
        """Begin an episode in the visitor's session; its options are the body's keys."""
        played = await self.sessions.begin(exchange)
        if type(played.reply) is Result:
            log = self._log_of(played.session)
            log.begin(played.session.episode.episode_id, played.reply.observation)
            self._tell(exchange.request, played.session)
        return played.response

    @answering
    async def step(self, exchange: Exchange) -> Response:
        """Apply an action, or what becomes of a message."""
        self._demand_session(exchange.request)
        words: Words = exchange.body.decode(Words)
        if words.message is not None and not words.action:
            action = await self._action_of(words.message, exchange)
            step = StepBody(action, words.timeout_s, words.request_id)
            exchange.body = Body(encode(step), "json")
        played = await self.sessions.act(exchange)
        if type(played.reply) is Result:
            self._add(played, exchange)
            self._tell(exchange.request, played.session)
        return played.response

    @answering
    async def state(self, exchange: Exchange) -> Response:
        """Return the state of the visitor's episode."""
        self._demand_session(exchange.request)
        return await self.sessions.read_state(exchange)

    async def show(self, websocket: WebSocket) -> None:
        """Send the episode of the visitor now, and whenever something has happened in it."""
        await self.registry.start()
        visitor = websocket.cookies.get(VISITOR_COOKIE, "")
        if not (visitor.isascii() and visitor.isalnum()):
            # None of ours, and perhaps nothing that a header can hold.
            visitor = secrets.token_hex(16)
        path = websocket.scope.get("root_path") or "/"
        cookie = f"{VISITOR_COOKIE}={visitor}; Path={path}; HttpOnly; SameSite=lax"
        await websocket.accept(headers=[(b"set-cookie", cookie.encode())])
        socket = Socket(visitor, is_browsers=_is_browser(websocket))
        self._sockets.add(socket)
        self._show_at_first(socket, websocket)
        sender = asyncio.ensure_future(_send(socket, websocket))
        try:
            while (await websocket.receive())["type"] != "websocket.disconnect":
                # What a tool says here, a ping for instance, asks for nothing.
                continue
        finally:
            sender.cancel()
            # Cancelled, or failed because the socket was gone: it makes no difference.
            await asyncio.gather(sender, return_exceptions=True)
            self._sockets.discard(socket)
            self._keep(socket.session)

    # ---- which session, and who looks on

    def _demand_session(self, request: HTTPConnection) -> None:
        """Raise NotReset for a browser that has no session: it is not to play in another's."""
        is_named = SESSION_COOKIE in request.cookies or SESSION_HEADER in request.headers
        if _is_browser(request) and not is_named and not self.registry.spec.is_shared:
            raise NotReset("you have no session yet: POST /web/reset first")

    def _show_at_first(self, socket: Socket, websocket: WebSocket) -> None:
        try:
            self._demand_session(websocket)
            session = self.sessions.find(websocket)
        except SessionError:
            return
        self._attach(socket, session)

    def _tell(self, request: HTTPConnection, session: Session) -> None:
        """Tell the sockets of who has asked for something that it has happened."""
        visitor = request.cookies.get(VISITOR_COOKIE)
        keeps_none = visitor is None and not _is_browser(request)
        for socket in self._sockets:
            if socket.visitor == visitor:
                socket.is_known = True
            if socket.visitor == visitor or (keeps_none and not socket.is_known):
                self._attach(socket, session)
            elif socket.session is session:
                socket.has_news.set()
        self._keep(session)

    def _attach(self, socket: Socket, session: Session) -> None:
        before, socket.session = socket.session, session
        socket.log = self._log_of(session)
        socket.has_news.set()
        if before is not session:
            self._keep(before)
            self._keep(session)

    def _keep(self, session: Session | None) -> None:
        """Let a session live for as long as a socket shows it, and for a grace after the last."""
        if session is None or session.is_ended:
            return
        if any(socket.session is session for socket in self._sockets):
            session.idle_limit_s = SHOWN_S
        elif session.idle_limit_s == SHOWN_S:
            is_shared = self.registry.spec.is_shared
            session.idle_limit_s = None if is_shared else self.registry.config.grace_s
            session.touched_at_s = self.registry.now_s

    # ---- what has happened

    def _log_of(self, session: Session) -> EpisodeLog:
        log = self._logs.get(session.token)
        if log is None:
            living = self.registry.sessions
            self._logs = {token: log for token, log in self._logs.items() if token in living}
            log = self._logs[session.token] = EpisodeLog()
        return log

    def _add(self, played: Played, exchange: Exchange) -> None:
        action = decode_any(played.frame.action, exchange.body.encoding)
        self._log_of(played.session).add(played.session.episode.step_count, action, played.reply)

    async def _action_of(self, message: str, exchange: Exchange) -> msgspec.Raw:
        """Return what words mean as an action: the environment's say, if it has one."""
        if not has(self.registry.spec.cls, "message_to_action"):
            return msgspec.Raw(encode({"message": message}))
        session = self.sessions.find(exchange.request)
        said = {"role": "user", "content": message}
        reply = await self.sessions.ask(
            session, EnvironmentQuery(0, 0, "message_to_action", (said,)), exchange
        )
        if type(reply) is Error:
            raise from_wire(reply.code, reply.message, reply.details)
        try:
            return msgspec.Raw(encode(reply.state))
        except Exception as error:  # what was returned may be anything
            raise EnvironmentFault(
                f"message_to_action has returned what is no action: {error}", type(error).__name__
            ) from error


async def _send(socket: Socket, websocket: WebSocket) -> None:
    while True:
        # What has happened while the last message was on its way is in the next.
        socket.has_news.clear()
        await websocket.send_text(socket.log.message())
        await socket.has_news.wait()


def _is_browser(request: HTTPConnection) -> bool:
    return "origin" in request.headers or "sec-fetch-mode" in request.headers
