"""WorkerProcess: one worker, as the server sees it: a process, and this end of its socket.

Requests that become ready in one turn of the event loop leave in one write; replies come back in
the order of the requests. Who gets which worker is the affair of workers.py.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from openenv.errors import WorkerDied
from openenv.protocol.frames import Close, Error, Malformed, Partial, Reset, Step
from openenv.server.workers.frames import (
    Described,
    MessageReader,
    Ready,
    Setup,
    decode_replies,
    encode,
    parts_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openenv.protocol.frames import Request
    from openenv.server.config import ServerConfig
    from openenv.server.ports import Deadlines, Origin, Reply
    from openenv.server.runners.spec import EnvironmentSpec
    from openenv.server.workers.blueprint import Blueprint
    from openenv.server.workers.runner import WorkerRunner

logger = logging.getLogger("openenv.server")

EXIT_S = 1.0
"How long a process may take to end after its socket."

LAST_REPLIES_S = 0.1
"How long its last replies may take to arrive after it has ended."

_START = "from openenv.server.workers.program import main; main()"


class WorkerOwner(Protocol):
    """The pool, as its workers know it."""

    spec: EnvironmentSpec
    config: ServerConfig
    blueprint: Blueprint
    deadlines: Deadlines

    def wake(self, complaint: str = "") -> None:
        """Look at the workers again: one has become ready, or says why it cannot."""


class WorkerProcess(asyncio.Protocol):
    """One process and the server's end of its socket. Made by the pool, which runs it."""

    def __init__(self, pool: WorkerOwner) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._runners: dict[int, WorkerRunner] = {}
        self._last_number = 0
        self._pending: deque[tuple[WorkerRunner, Request, Any]] = deque()
        "(runner, frame, origin) of what was asked, in the order in which it is answered."
        self._outbox: list[Request | msgspec.Raw] = []
        self._reader = MessageReader()
        self._transport: Any = None
        self._lost = asyncio.Event()
        "The socket has ended."
        self._ready_at_s: float | None = None
        self._is_paused = False
        self._is_stopping = False
        self._kill_reason = ""
        "Why the process was killed by us."
        self.exit_reason = ""
        self.lived_s = 0.0
        "How long it was ready, once it has ended."
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            try:
                self._process = _start(theirs.fileno())
            except OSError:
                self._socket.close()
                raise

    # ---- life

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return self._ready_at_s is not None and not self._lost.is_set()

    @property
    def is_usable(self) -> bool:
        """Whether it can be given sessions, although it may still be starting."""
        return not self._lost.is_set() and not self._is_stopping

    @property
    def is_blocked(self) -> bool:
        """Whether it hangs in a call that was given up."""
        return bool(self._pending) and self._pending[0][0].is_abandoned

    @property
    def load(self) -> int:
        """How many environments it has."""
        return len(self._runners)

    async def run(self) -> None:
        """Talk to the process until it has ended, one way or another."""
        try:
            await self._loop.create_unix_connection(lambda: self, sock=self._socket)
            with _watching(self._process.pid, self._loop) as exited:
                await self._end(exited)
        finally:
            self._lost.set()
            # With what its environments have started, unless they were closed in good order.
            if not self._is_stopping or self._process.poll() is None:
                self._kill()
            code = self._process.wait()
            if self._transport is not None:
                self._transport.abort()
            else:
                self._socket.close()
            if self._ready_at_s is not None:
                self.lived_s = self._loop.time() - self._ready_at_s
            self.exit_reason = f"a worker process {self._kill_reason or _cause(code)}"

    async def _end(self, exited: asyncio.Event) -> None:
        """Wait until socket and process have ended; one of them can survive the other.

        A process that was forked from this one keeps the socket.
        """
        ends = [asyncio.create_task(event.wait()) for event in (self._lost, exited)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(ends, timeout=EXIT_S if self._lost.is_set() else LAST_REPLIES_S)
        finally:
            for end in ends:
                end.cancel()

    def stop(self) -> None:
        """End the socket, and so the process; at once if it would not notice."""
        self._is_stopping = True
        if self.is_blocked:
            self._kill()
        if self._transport is not None:
            self._transport.close()
        else:
            self._kill()
            self._lost.set()

    def on_exit(self) -> None:
        """Tell its sessions that the process has ended."""
        error = WorkerDied(f"{self.exit_reason}, and the episode is lost: reset the session")
        runners, pending = self._runners, list(self._pending)
        self._runners = {}
        self._pending.clear()
        asked = {runner: (frame, origin) for runner, frame, origin in reversed(pending)}
        first = pending[0][0] if pending else None
        for runner in runners.values():
            runner.on_exit(error, asked.get(runner), has_begun=runner is first)

    def kill(self, reason: str) -> None:
        """End the process at once, and say why."""
        self._kill_reason, self._is_stopping = reason, True
        self._kill()

    def _kill(self) -> None:
        if self._process.returncode is None:
            # It leads a group of its own, whose number is its own until somebody has waited for it.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    # ---- sessions

    def host(self, runner: WorkerRunner) -> None:
        """Host an environment for this runner."""
        self._last_number += 1
        runner.number = self._last_number
        self._runners[runner.number] = runner

    def forget(self, runner: WorkerRunner) -> None:
        """Host it no more: its environment is closed."""
        self._runners.pop(runner.number, None)

    def ask(
        self, runner: WorkerRunner, frame: Request, origin: Origin, request: Request | msgspec.Raw
    ) -> None:
        """Send a request; the runner's `on_reply` gets the reply."""
        if self._pending and type(frame) in (Step, Reset):
            # Stop the deadline while the request queues behind other sessions of the worker.
            runner.left_s = self._pool.deadlines.pop(runner.session)
        self._pending.append((runner, frame, origin))
        self._put(request)

    def abandon(self, runner: WorkerRunner) -> None:
        """Close the environment after the call that hangs; kill the process if that never ends."""
        if not any(one is runner and type(frame) is Close for one, frame, _ in self._pending):
            frame = Close(runner.number, 1)
            self._pending.append((runner, frame, None))
            self._put(frame)
        self._resume()
        if self.is_blocked:
            self._watch()

    def pause_until(self, room: asyncio.Future[None]) -> None:
        """Read no replies before the client of the running call has room for more.

        The other sessions of the process wait, too: it runs one call at a time.
        """
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
            room.add_done_callback(self._resume)

    def _resume(self, _: object = None) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def _put(self, request: Request | msgspec.Raw) -> None:
        if not self._outbox and self.is_ready:
            self._loop.call_soon(self._flush)
        self._outbox.append(request)

    def _flush(self) -> None:
        if not self._outbox or self._transport is None:
            return
        requests, self._outbox = self._outbox, []
        self._transport.writelines(parts_of(encode(requests)))

    def _watch(self) -> None:
        """Kill the process unless the call that it hangs in ends within the grace."""
        hanging = self._pending[0]
        is_concurrent = self._pool.spec.convention.is_concurrent
        # Without other sessions in the worker, its own session waits for it to be replaced.
        grace_s = self._pool.config.worker_grace_s if is_concurrent else 0.0

        def check() -> None:
            if self._pending and self._pending[0] is hanging and not self._lost.is_set():
                self.kill(f"was killed: a call of a session hung {grace_s:g} s too long")

        if grace_s:
            self._loop.call_later(grace_s, check)
        else:
            check()

    # ---- asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        """Say what is served."""
        self._transport = transport
        level = logging.getLogger("openenv").getEffectiveLevel()
        setup = Setup([path or os.getcwd() for path in sys.path], self._pool.blueprint, level)
        transport.writelines(parts_of(msgspec.msgpack.encode(setup)))

    def data_received(self, data: bytes) -> None:
        """Take replies."""
        for message in self._reader.feed(data):
            for frame in decode_replies(message):
                self._receive(frame)

    def connection_lost(self, _: Exception | None) -> None:
        """The process has ended, or is about to."""
        self._lost.set()

    def _receive(self, frame: Any) -> None:
        kind = type(frame)
        if kind is Partial:
            runner, asked, origin = self._pending[0]
            if not runner.is_abandoned:
                runner.on_partial(origin, frame, asked.id)
        elif kind is Described:
            self._pool.spec.info = frame.info
        elif kind is Ready:
            self._ready_at_s = self._loop.time()
            self._flush()
            self._pool.wake()
        elif kind is Error and not self.is_ready:
            logger.error("a worker process: %s", frame.message)
            self._pool.wake(frame.message)
        elif kind is Malformed:
            self.kill(f"was killed: it sent what cannot be read: {frame.message}")
        else:
            self._complete(frame)

    def _complete(self, reply: Reply) -> None:
        runner, frame, origin = self._pending.popleft()
        if self._pending:
            self._begin(self._pending[0][0])
        if not runner.is_abandoned:
            runner.on_reply(frame, origin, reply)
        elif type(frame) is Close:
            # The end of an environment that was left behind.
            self.forget(runner)

    def _begin(self, runner: WorkerRunner) -> None:
        """The next call runs now."""
        if runner.is_abandoned:
            self._watch()
        elif runner.left_s is not None:
            left_s, runner.left_s = runner.left_s, None
            self._pool.deadlines.bring_forward(runner.session, left_s)


@contextmanager
def _watching(pid: int, loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.Event]:
    """Yield what is set when the process has ended; nobody has waited for it then."""
    exited = asyncio.Event()
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        # Not on this system: the end of the socket has to do.
        yield exited
        return
    loop.add_reader(descriptor, exited.set)
    try:
        yield exited
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _start(descriptor: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # Unbuffered: what environments print is seen when they print it.
        [sys.executable, "-u", "-c", _START, str(os.getpid()), str(descriptor)],
        stdin=subprocess.DEVNULL,
        # What is printed there belongs to people, not to who reads what the server says.
        stdout=2,
        pass_fds=(descriptor,),
        # A group of its own: Ctrl-C is for the server, which lets running calls finish.
        process_group=0,
    )


def _cause(code: int) -> str:
    """Return what a process died of."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
