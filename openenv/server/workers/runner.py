"""RemoteRunner: calls an environment that lives in a worker process.

Stands where the runners of runner.py stand: the session starts one request at a time and is told
when it has settled. Which worker, and how it is reached, is the affair of workers.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from openenv.codec import decode_any
from openenv.errors import (
    EnvironmentFactoryError,
    OpenEnvError,
    PayloadError,
    WorkerDied,
)
from openenv.protocol.frames import Close, Closed, Error, Opened, Reset, Result, StateReply, Step
from openenv.protocol.wire import MSGPACK
from openenv.server.runners.inline import Origin, Runner, error_frame, show
from openenv.server.runners.queries import EnvironmentQuery
from openenv.server.workers.frames import FORMATS, ResetNamed, format_of

if TYPE_CHECKING:
    from openenv.server.runners.calls import EnvironmentCalls
    from openenv.server.sessions.session import Session
    from openenv.server.workers.process import WorkerProcess

_decode = msgspec.msgpack.decode
_encode = MSGPACK.encode


class WorkerRunner(Runner):
    """Has one environment in one worker; after the worker's death, from the next reset on, another.

    `environment` only says that there is one.
    """

    __slots__ = ("_episode_id", "_obituary", "_worker", "is_abandoned", "left_s", "number")

    @property
    def can_abandon(self) -> bool:
        """Always: a worker that hangs is killed."""
        return True

    def __init__(self, calls: EnvironmentCalls, session: Session) -> None:
        super().__init__(calls, session)
        self.number = 0
        "The environment's number in its worker."
        self.is_abandoned = False
        self.left_s: float | None = None
        "How long the request may take from when its turn in the worker comes."
        self._worker: WorkerProcess | None = None
        self._obituary: WorkerDied | None = None
        "What the next request is told, whose environment has died unnoticed."
        self._episode_id = ""

    def start(self, frame: Any, origin: Origin) -> None:
        """Send a request to the worker, which is chosen for the first one."""
        kind = type(frame)
        obituary, self._obituary = self._obituary, None
        if self._worker is None:
            if kind is Close:
                self.session.settle(self, frame, origin, Closed(frame.id, frame.session, "closed"))
                return
            if obituary is not None and kind is not Reset:
                self._fail(frame, origin, obituary)
                return
        try:
            if self._worker is None:
                workers = self.session.registry.workers
                assert workers is not None
                self._worker = workers.assign(self, frame, origin)
            if self._worker is not None:
                self._worker.ask(self, frame, origin, self._request(frame, origin))
        except OpenEnvError as error:
            self.session.settle(self, frame, origin, error_frame(frame.id, error))

    def abandon(self) -> None:
        """Leave the call behind; the environment is closed should it ever end."""
        self.is_abandoned = True
        if self._worker is not None:
            self._worker.abandon(self)

    def release(self) -> None:
        """Forget the worker, unless it has a call to end that was left behind."""
        if self._worker is not None and not self.is_abandoned:
            self._worker.forget(self)
            self._worker = None

    # ---- called by the worker's end of the pipe

    def settle(self, frame: Any, origin: Origin, reply: Any) -> None:
        """Take the reply to a request."""
        kind = type(reply)
        reply.id = frame.id
        if kind is Result:
            if type(frame) is Reset:
                frame.episode_id = frame.episode_id or self._episode_id
            self._unpack(reply, "observation", origin)
        elif kind is StateReply:
            self._unpack(reply, "state", origin)
        elif kind is Opened:
            reply.token = self.session.token
        elif kind is Closed:
            reply.session = frame.session
        if kind is not Error or reply.code != EnvironmentFactoryError.code:
            self.environment = self._worker
        self.session.settle(self, frame, origin, reply)

    def show(self, origin: Origin, partial: Any, request_id: int) -> None:
        """Take an intermediate observation."""
        partial.id = request_id
        self._unpack(partial, "observation", origin)
        show(self.session, origin, partial)
        room = origin.until_room()
        if room is not None and self._worker is not None:
            self._worker.pause_until(room)

    def bury(
        self, error: WorkerDied, request: tuple[Any, Origin] | None, *, has_begun: bool
    ) -> None:
        """The worker is dead. What it has not begun and needs no episode begins anew in another."""
        self._worker = self.environment = None
        if self.is_abandoned:
            return
        if request is None:
            self._obituary = error
        elif type(request[0]) is Close:
            frame, origin = request
            self.session.settle(self, frame, origin, Closed(frame.id, frame.session, "closed"))
        elif type(request[0]) is Step or has_begun:
            self._fail(*request, error)
        else:
            self.start(*request)

    # ---- frames

    def _request(self, frame: Any, origin: Origin) -> Any:
        """Return the frame as a worker wants it. Raises PayloadError."""
        number, manner, kind = self.number, format_of(origin), type(frame)
        if kind is Step:
            action = frame.action
            if FORMATS[manner].encoding == "json":
                action = bytes(action)
            return Step(number, manner, action, frame.timeout_s, frame.stream)
        if kind is EnvironmentQuery:
            return EnvironmentQuery(number, manner, frame.method, frame.arguments)
        if kind is not Reset:
            return kind(number, manner)
        self._episode_id = self.session.registry.new_token()
        begin = ResetNamed(
            number, manner, frame.seed, frame.episode_id, frame.options, self._episode_id
        )
        try:
            return msgspec.Raw(_encode(begin))
        except (TypeError, ValueError, OverflowError) as error:
            raise PayloadError(f"reset: {error}") from error

    def _unpack(self, frame: Any, name: str, origin: Origin) -> None:
        """Put the payload into the form in which the origin takes it."""
        form = FORMATS[format_of(origin)].payloads
        if form == "values":
            setattr(frame, name, decode_any(getattr(frame, name), "msgpack"))
        elif form != "msgpack":
            setattr(frame, name, msgspec.Raw(_decode(getattr(frame, name))))

    def _fail(self, frame: Any, origin: Origin, error: WorkerDied) -> None:
        self.session.needs_reset = True
        self.session.settle(self, frame, origin, error_frame(frame.id, error))
