"""WorkerRunner: calls an environment that lives in a worker process.

Implements the Runner contract of runners/: the session starts one request at a time and gets its
reply through `complete`. Does not choose the worker (pool.py) or write to its socket (process.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from openenv.codec import decode_any
from openenv.environment import RunningEpisode
from openenv.errors import (
    EnvironmentFactoryError,
    OpenEnvError,
    PayloadError,
    WorkerDied,
)
from openenv.protocol.frames import (
    Close,
    Closed,
    Error,
    Opened,
    Partial,
    Reset,
    Result,
    StateReply,
    Step,
)
from openenv.protocol.server import error_frame
from openenv.protocol.wire import MSGPACK
from openenv.server.runners.bound import new_episode_id
from openenv.server.runners.inline import Runner
from openenv.server.runners.queries import EnvironmentQuery
from openenv.server.workers.frames import FORMATS, ResetNamed, format_of

if TYPE_CHECKING:
    import asyncio

    from openenv.protocol.frames import Request
    from openenv.server.ports import Origin, Reply, RunningSession
    from openenv.server.runners.spec import EnvironmentSpec

_decode = msgspec.msgpack.decode
_encode = MSGPACK.encode


class WorkerHandle(Protocol):
    """The part of a WorkerProcess that a runner uses."""

    def ask(
        self, runner: WorkerRunner, frame: Request, origin: Origin, request: Request | msgspec.Raw
    ) -> None:
        """Send a request; the runner's `on_reply` gets the reply."""

    def abandon(self, runner: WorkerRunner) -> None:
        """Close the environment after the abandoned call; kill the process if it never returns."""

    def forget(self, runner: WorkerRunner) -> None:
        """Remove a runner whose environment is closed."""

    def pause_until(self, room: asyncio.Future[None]) -> None:
        """Stop reading replies until the client of the running call has room for more."""


class Workers(Protocol):
    """The part of the WorkerPool that a runner uses."""

    def assign(self, runner: WorkerRunner, frame: Request, origin: Origin) -> WorkerHandle | None:
        """Return a worker for one more environment.

        None while a worker is being replaced: the pool then calls `runner.start` again later.
        Raises SessionCreationError if no worker is free and none is being replaced.
        """


class WorkerRunner(Runner):
    """Owns one environment in one worker. If the worker dies, the next reset chooses another.

    `bound` stays None: the environment is bound in the worker.
    """

    __slots__ = (
        "_episode",
        "_exit_error",
        "_has_environment",
        "_worker",
        "_workers",
        "is_abandoned",
        "left_s",
        "number",
    )

    @property
    def can_abandon(self) -> bool:
        """True: a worker that hangs can be killed."""
        return True

    @property
    def has_environment(self) -> bool:
        """Whether the worker has made an environment."""
        return self._has_environment

    @property
    def episode(self) -> RunningEpisode:
        """The episode that the last reset began; the server counts its steps."""
        return self._episode

    def __init__(self, spec: EnvironmentSpec, session: RunningSession, workers: Workers) -> None:
        super().__init__(spec, session)
        self.number = 0
        "The environment's number in its worker."
        self.is_abandoned = False
        self.left_s: float | None = None
        "The rest of the request's time limit; it runs from when the worker begins the request."
        self._workers = workers
        self._worker: WorkerHandle | None = None
        self._has_environment = False
        self._exit_error: WorkerDied | None = None
        "Set if the worker died while no request was pending; the next request is answered with it."
        self._episode = RunningEpisode()

    def start(self, frame: Request, origin: Origin) -> None:
        """Send a request to the worker; the first request chooses it."""
        exit_error, self._exit_error = self._exit_error, None
        if self._worker is None:
            if isinstance(frame, Close):
                closed = Closed(frame.id, frame.session, "closed")
                self.session.complete(self, frame, origin, closed)
                return
            if exit_error is not None and not isinstance(frame, Reset):
                self._fail(frame, origin, exit_error)
                return
        try:
            if self._worker is None:
                self._worker = self._workers.assign(self, frame, origin)
            if self._worker is not None:
                self._worker.ask(self, frame, origin, self._request(frame, origin))
        except OpenEnvError as error:
            self.session.complete(self, frame, origin, error_frame(frame.id, error))

    def abandon(self) -> None:
        """Stop waiting for the running call; its environment is closed when it returns."""
        self.is_abandoned = True
        if self._worker is not None:
            self._worker.abandon(self)

    def release(self) -> None:
        """Release the worker, unless it still runs an abandoned call."""
        if self._worker is not None and not self.is_abandoned:
            self._worker.forget(self)
            self._worker = None

    # ---- called by the server's end of the worker's socket

    def on_reply(self, frame: Request, origin: Origin, reply: Reply) -> None:
        """Complete a request with the worker's reply."""
        reply.id = frame.id
        match reply:
            case Result():
                if isinstance(frame, Step):
                    self._episode.step_count += 1
                self._unpack(reply, "observation", origin)
            case StateReply():
                self._unpack(reply, "state", origin)
            case Opened():
                reply.token = self.session.token
            case Closed():
                reply.session = frame.session
        if not isinstance(reply, Error) or reply.code != EnvironmentFactoryError.code:
            self._has_environment = True
        self.session.complete(self, frame, origin, reply)

    def on_partial(self, origin: Origin, partial: Partial, request_id: int) -> None:
        """Pass an intermediate observation to the client, and wait if that has no room."""
        partial.id = request_id
        self._unpack(partial, "observation", origin)
        self.session.emit(origin, partial)
        room = origin.until_room()
        if room is not None and self._worker is not None:
            self._worker.pause_until(room)

    def on_exit(
        self, error: WorkerDied, request: tuple[Request, Origin] | None, *, has_begun: bool
    ) -> None:
        """Answer the pending request with the error, or start it again in another worker.

        It is started again if the dead worker had not begun it and it is not a step, which needs
        the lost episode.
        """
        self._worker, self._has_environment = None, False
        if self.is_abandoned:
            return
        if request is None:
            self._exit_error = error
        elif isinstance(request[0], Close):
            frame, origin = request
            closed = Closed(frame.id, frame.session, "closed")
            self.session.complete(self, frame, origin, closed)
        elif isinstance(request[0], Step) or has_begun:
            self._fail(*request, error)
        else:
            self.start(*request)

    # ---- frames

    def _request(self, frame: Request, origin: Origin) -> Request | msgspec.Raw:
        """Return the frame as a worker wants it. Raises PayloadError."""
        number, payload_format = self.number, format_of(origin)
        match frame:
            case Step():
                action = frame.action
                if FORMATS[payload_format].encoding == "json":
                    action = bytes(action)
                return Step(number, payload_format, action, frame.timeout_s, frame.stream)
            case EnvironmentQuery():
                return EnvironmentQuery(number, payload_format, frame.method, frame.arguments)
            case Reset():
                return self._reset_request(frame, payload_format)
        return type(frame)(number, payload_format)

    def _reset_request(self, frame: Reset, payload_format: int) -> msgspec.Raw:
        self._episode = RunningEpisode(frame.episode_id or new_episode_id())
        name = self._episode.episode_id or ""
        named = ResetNamed(
            self.number, payload_format, frame.seed, frame.episode_id, frame.options, name
        )
        try:
            return msgspec.Raw(_encode(named))
        except (TypeError, ValueError, OverflowError) as error:
            raise PayloadError(f"reset: {error}") from error

    def _unpack(self, frame: Result | StateReply | Partial, name: str, origin: Origin) -> None:
        """Put the payload into the form in which the origin takes it."""
        form = FORMATS[format_of(origin)].payloads
        if form == "values":
            setattr(frame, name, decode_any(getattr(frame, name), "msgpack"))
        elif form != "msgpack":
            setattr(frame, name, msgspec.Raw(_decode(getattr(frame, name))))

    def _fail(self, frame: Request, origin: Origin, error: WorkerDied) -> None:
        self.session.needs_reset = True
        self.session.complete(self, frame, origin, error_frame(frame.id, error))
