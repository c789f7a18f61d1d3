"""The program of a worker process: hosts environments and calls them, one call at a time.

Everything runs on the main thread. Requests arrive in batches from process.py; replies that are
ready together go back together. The program ends when its socket closes, so that no worker
outlives its server. Knows nothing of sessions and clients beyond their payload format.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from openenv import arrays
from openenv.errors import EnvironmentFault, OpenEnvError, RequestCancelled
from openenv.protocol.frames import (
    Close,
    Error,
    Open,
    Opened,
    Partial,
    Reset,
    Result,
    StateReply,
    Step,
)
from openenv.protocol.peer import unencodable
from openenv.protocol.server import error_frame
from openenv.protocol.wire import JSON
from openenv.server.runners.executor import RequestExecutor
from openenv.server.runners.making import make_spec
from openenv.server.workers.frames import (
    FORMATS,
    Described,
    MessageReader,
    Ready,
    ResetNamed,
    Setup,
    decode_requests,
    encode,
    parts_of,
)

if TYPE_CHECKING:
    from openenv.protocol.frames import Request
    from openenv.server.ports import Origin, Reply
    from openenv.server.runners.spec import EnvironmentSpec

logger = logging.getLogger("openenv.server")

RECEIVE_BYTES = 64 * 1024
HOLD_S = 0.0002
"""How long a reply may wait, so that the next replies leave in the same write.

Steps that cost microseconds share a write. For slower steps the next reply would come too late,
so each is sent at once."""

_PR_SET_PDEATHSIG = 1
_legacy_json = msgspec.json.Encoder(enc_hook=arrays.enc_hook_json)
_bytes = msgspec.msgpack.Decoder(bytes)


class WorkerOrigin:
    """The Origin of a request inside the worker: one per payload format, not one per client.

    Encodes payloads for the client and sends partial observations.
    """

    def __init__(self, worker: Worker, number: int) -> None:
        self.encoding, self.payloads = FORMATS[number]
        self.is_lenient = self.payloads == "legacy"
        self._worker = worker

    def reply(self, frame: Reply | Partial) -> None:
        """Send an intermediate observation at once: the next one may be long in coming.

        Raises into the environment, at its yield: the error of an observation that cannot be
        encoded, and RequestCancelled if the call was abandoned.
        """
        if self._worker.is_given_up(frame.id):
            raise RequestCancelled("the call was given up")
        self._shape(frame)
        self._worker.send(frame)

    def until_room(self) -> None:
        """Return None: `reply` blocks while the socket is full, so there is room after it."""

    def shape(self, frame: Reply) -> Reply:
        """Return a frame with its payload as this client gets it, or the error in its place."""
        try:
            self._shape(frame)
        # A payload is a user's object: its encoding may raise anything.
        except Exception as error:  # noqa: BLE001
            return self.refuse(frame, error)
        return frame

    def _shape(self, frame: Any) -> None:
        kind = type(frame)
        name = "state" if kind is StateReply else "observation"
        if kind is not StateReply and frame.metadata is not None:
            _check(frame.metadata)
        if self.payloads == "json":
            setattr(frame, name, JSON.encode(getattr(frame, name)))
        elif self.payloads == "legacy":
            setattr(frame, name, _legacy_json.encode(getattr(frame, name)))

    def refuse(self, frame: Reply | Partial, error: Exception) -> Error:
        """Return what its client gets for a reply that cannot be encoded."""
        refusal: OpenEnvError = unencodable(frame, error)
        if self.payloads in ("legacy", "values"):
            refusal = EnvironmentFault(
                f"the reply cannot be encoded: {error}", type(error).__name__
            )
        return error_frame(frame.id, refusal)


class WorkerSession(RequestExecutor):
    """One environment of the worker, made by its first request."""

    __slots__ = ("_name",)

    def __init__(self, spec: EnvironmentSpec) -> None:
        super().__init__(spec)
        self._name: str | None = None
        "The episode id of the last reset: the client's, or else the one that the server chose."

    def answer(self, frame: Request, origin: WorkerOrigin) -> Reply:
        """Run a request to its reply. Raises nothing."""
        if type(frame) is ResetNamed:
            self._name = frame.episode_id or frame.name
            frame = Reset(frame.id, frame.session, frame.seed, frame.episode_id, frame.options)
        return self.perform(frame, origin)

    def emit(self, origin: Origin, frame: Partial) -> None:
        """Send an intermediate observation. The server's session passes it to the spectators."""
        origin.reply(frame)

    def _episode_id(self, frame: Reset) -> str | None:
        return self._name

    def _opened(self, frame: Open) -> Opened:
        return Opened(frame.id, "")


class Worker:
    """Serves one socket until it closes."""

    def __init__(self, pipe: socket.socket, spec: EnvironmentSpec, reader: MessageReader) -> None:
        self._socket = pipe
        self._spec = spec
        self._askers = {number: WorkerOrigin(self, number) for number in FORMATS}
        self._hosted: dict[int, WorkerSession] = {}
        self._reader = reader
        self._requests: deque[Any] = deque()
        "Requests that were received and are not answered yet."
        self._ready: list[tuple[Any, WorkerOrigin]] = []
        self._held_since_s = 0.0
        self._mean_s = 0.0
        "The moving average of a call's duration."
        self._has_described = False

    def run(self) -> None:
        """Answer requests until the server closes the socket, then close the environments."""
        while data := self._socket.recv(RECEIVE_BYTES):
            self._take(data)
            self._answer_all()
        for number in list(self._hosted):
            self._answer(Close(number, 1))

    def is_given_up(self, number: int) -> bool:
        """Whether the running call of this environment was abandoned.

        A session sends one request at a time, so a Close that waits behind the running call means
        that the server has abandoned that call. Reads the socket to see it.
        """
        try:
            while data := self._socket.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT):
                self._take(data)
        except BlockingIOError:
            # Nothing more to read now.
            pass
        return any(type(frame) is Close and frame.id == number for frame in self._requests)

    def put(self, frame: Reply | Described, asker: WorkerOrigin) -> None:
        """Put a reply into the next message."""
        if not self._ready:
            self._held_since_s = time.perf_counter()
        self._ready.append((frame, asker))

    def send(self, frame: Reply | Partial) -> None:
        """Send the replies that are ready, then this frame. Raises the error of encoding it."""
        message = encode([frame])
        self.flush()
        _write(self._socket, message)

    def flush(self) -> None:
        """Send the replies that are ready, in one message."""
        ready, self._ready = self._ready, []
        if not ready:
            return
        try:
            messages = [encode([frame for frame, _ in ready])]
        # A payload is a user's object: its encoding may raise anything.
        except Exception:  # noqa: BLE001 - only the client of the bad reply gets the error
            messages = [_encode_alone(frame, asker) for frame, asker in ready]
        for message in messages:
            _write(self._socket, message)

    def _take(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            self._requests.extend(decode_requests(message))

    def _answer_all(self) -> None:
        clock, requests = time.perf_counter, self._requests
        while requests:
            frame = requests.popleft()
            if type(frame) is not Step:
                # A reset, a close or a query may take long: let no finished reply wait for it.
                self.flush()
            began_s = clock()
            self._answer(frame)
            now_s = clock()
            self._mean_s += (now_s - began_s - self._mean_s) / 8
            if now_s + self._mean_s - self._held_since_s > HOLD_S:
                self.flush()
        self.flush()

    def _answer(self, frame: Any) -> None:
        number, kind = frame.id, type(frame)
        asker = self._askers[frame.session]
        hosted = self._hosted.get(number)
        if hosted is None:
            hosted = self._hosted[number] = WorkerSession(self._spec)
        if kind is Step and asker.encoding == "json":
            frame.action = _bytes.decode(frame.action)
        reply = hosted.answer(frame, asker)
        if kind is Close or (kind is Open and type(reply) is Error):
            del self._hosted[number]
        if not self._has_described and self._spec.info is not None:
            self._has_described = True
            self.put(Described(self._spec.info), asker)
        self.put(asker.shape(reply) if type(reply) in (Result, StateReply) else reply, asker)


def _check(metadata: object) -> None:
    """Raise TypeError for metadata that nobody could read."""
    if not isinstance(metadata, dict) or not all(type(name) is str for name in metadata):
        raise TypeError(f"metadata must be a dict with strings as keys, not {metadata!r:.80}")


def _encode_alone(frame: Any, asker: WorkerOrigin) -> bytes:
    try:
        return encode([frame])
    except Exception as error:  # noqa: BLE001 - a payload is a user's object
        return encode([asker.refuse(frame, error)])


def main() -> None:
    """Serve the socket whose file descriptor the command line names, until it closes."""
    parent, descriptor = int(sys.argv[1]), int(sys.argv[2])
    _die_with(parent)
    # Signals to stop are for the server: it lets running calls finish and then closes the socket.
    # A Python handler, not SIG_IGN, because processes that an environment starts inherit SIG_IGN.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave_to_the_server)
    with socket.socket(fileno=descriptor) as pipe:
        reader = MessageReader()
        setup = _receive_setup(pipe, reader)
        if setup is None:
            return
        try:
            worker = Worker(pipe, _make_spec(setup), reader)
        except OpenEnvError as error:
            _write(pipe, encode([error_frame(0, error)]))
            sys.exit(1)
        # Imported modules live as long as the process: exclude them from garbage collection.
        gc.collect()
        gc.freeze()
        _write(pipe, encode([Ready()]))
        worker.run()


def _receive_setup(pipe: socket.socket, reader: MessageReader) -> Setup | None:
    while data := pipe.recv(RECEIVE_BYTES):
        for message in reader.feed(data):
            return msgspec.msgpack.decode(message, type=Setup)
    return None


def _make_spec(setup: Setup) -> EnvironmentSpec:
    sys.path[:] = setup.path
    logging.basicConfig(format=f"%(asctime)s %(levelname)s %(name)s [{os.getpid()}]: %(message)s")
    logging.getLogger("openenv").setLevel(setup.log_level)
    env, payload_classes = setup.blueprint.load()
    return make_spec(env, *payload_classes, debug=setup.blueprint.debug, execution="inline")


def _write(pipe: socket.socket, message: bytes) -> None:
    for part in parts_of(message):
        pipe.sendall(part)


def _die_with(parent: int) -> None:
    """End with the server, even inside a call that never returns to read the socket."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def _leave_to_the_server(_: int, __: object) -> None:
    """Do nothing."""


if __name__ == "__main__":
    main()
