"""WorkerProcess: one worker process and the server's end of its socket.

Requests that become ready in one turn of the event loop leave in one write; replies come back in
the order of the requests. Does not choose the worker for a session: pool.py does. The worker's end
of the socket is program.py.
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
"How long a process may take to exit after its socket has closed, before it is killed."

LAST_REPLIES_S = 0.1
"How long we read on after a process has exited: its last replies may still be in the socket."

_START = "from openenv.server.workers.program import main; main()"


class WorkerOwner(Protocol):
    """The part of the pool that a WorkerProcess uses."""

    spec: EnvironmentSpec
    config: ServerConfig
    blueprint: Blueprint
    deadlines: Deadlines

    def wake(self, complaint: str = "") -> None:
        """Wake `start` and `aclose`; `complaint` is why a worker could not become ready."""


class WorkerProcess(asyncio.Protocol):
    """The constructor starts the process; the pool then awaits `run`, which returns at its end."""

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
        "Set when the socket has closed."
        self._ready_at_s: float | None = None
        self._is_paused = False
        self._is_stopping = False
        self._kill_reason = ""
        "Why we killed the process; empty if we did not."
        self.exit_reason = ""
        self.lived_s = 0.0
        "How long the process was ready; 0 until it has ended, and if it never was ready."
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
        """Whether the process has imported what it serves, and its socket is open."""
        return self._ready_at_s is not None and not self._lost.is_set()

    @property
    def is_usable(self) -> bool:
        """Whether it accepts sessions. True while it is starting, too: requests wait for Ready."""
        return not self._lost.is_set() and not self._is_stopping

    @property
    def is_blocked(self) -> bool:
        """Whether it hangs in an abandoned call."""
        return bool(self._pending) and self._pending[0][0].is_abandoned

    @property
    def load(self) -> int:
        """How many environments it hosts."""
        return len(self._runners)

    async def run(self) -> None:
        """Exchange messages with the process until it has ended; always reap it."""
        try:
            await self._loop.create_unix_connection(lambda: self, sock=self._socket)
            with _watching(self._process.pid, self._loop) as exited:
                await self._end(exited)
        finally:
            self._lost.set()
            # Kill the whole process group: environments may have started processes of their own.
            # Only a worker that was told to stop, and has exited, has closed its environments.
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
        """Wait until the socket has closed and the process has exited, or a timeout after one did.

        Either can survive the other: a process that an environment forked keeps the socket open.
        """
        ends = [asyncio.create_task(event.wait()) for event in (self._lost, exited)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(ends, timeout=EXIT_S if self._lost.is_set() else LAST_REPLIES_S)
        finally:
            for end in ends:
                end.cancel()

    def stop(self) -> None:
        """Close the socket, which ends the process; kill a process that hangs in a call."""
        self._is_stopping = True
        if self.is_blocked:
            self._kill()
        if self._transport is not None:
            self._transport.close()
        else:
            self._kill()
            self._lost.set()

    def on_exit(self) -> None:
        """Tell the runners of its environments that the process has ended."""
        error = WorkerDied(f"{self.exit_reason}, and the episode is lost: reset the session")
        runners, pending = self._runners, list(self._pending)
        self._runners = {}
        self._pending.clear()
        asked = {runner: (frame, origin) for runner, frame, origin in reversed(pending)}
        first = pending[0][0] if pending else None
        for runner in runners.values():
            runner.on_exit(error, asked.get(runner), has_begun=runner is first)

    def kill(self, reason: str) -> None:
        """Kill the process; `reason` becomes part of `exit_reason`."""
        self._kill_reason, self._is_stopping = reason, True
        self._kill()

    def _kill(self) -> None:
        if self._process.returncode is None:
            # The worker is a process group leader; its pid cannot be reused before wait().
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    # ---- sessions

    def host(self, runner: WorkerRunner) -> None:
        """Give the runner the number of its environment, and count it in `load`."""
        self._last_number += 1
        runner.number = self._last_number
        self._runners[runner.number] = runner

    def forget(self, runner: WorkerRunner) -> None:
        """Remove a runner whose environment is closed."""
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
        """Close the environment after the abandoned call; kill the process if it never returns."""
        if not any(one is runner and type(frame) is Close for one, frame, _ in self._pending):
            frame = Close(runner.number, 1)
            self._pending.append((runner, frame, None))
            self._put(frame)
        self._resume()
        if self.is_blocked:
            self._watch()

    def pause_until(self, room: asyncio.Future[None]) -> None:
        """Stop reading replies until the client of the running call has room for more.

        The other sessions of the process wait as well, because it runs one call at a time.
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
        """Kill the process unless the abandoned call returns within `worker_grace_s`."""
        hanging = self._pending[0]
        is_concurrent = self._pool.spec.convention.is_concurrent
        # The grace protects other sessions in the worker. A worker of environments that are not
        # concurrent has none, and its one session waits for the replacement: kill it now.
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
        """Send the Setup: what the worker imports and serves."""
        self._transport = transport
        level = logging.getLogger("openenv").getEffectiveLevel()
        setup = Setup([path or os.getcwd() for path in sys.path], self._pool.blueprint, level)
        transport.writelines(parts_of(msgspec.msgpack.encode(setup)))

    def data_received(self, data: bytes) -> None:
        """Handle every reply that is complete now."""
        for message in self._reader.feed(data):
            for frame in decode_replies(message):
                self._receive(frame)

    def connection_lost(self, _: Exception | None) -> None:
        """Note that the socket has closed: the process has ended or is about to."""
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
            # The reply to the Close that `abandon` sent.
            self.forget(runner)

    def _begin(self, runner: WorkerRunner) -> None:
        """Start the time limit of the call that the worker runs now."""
        if runner.is_abandoned:
            self._watch()
        elif runner.left_s is not None:
            left_s, runner.left_s = runner.left_s, None
            self._pool.deadlines.bring_forward(runner.session, left_s)


@contextmanager
def _watching(pid: int, loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.Event]:
    """Yield an event that is set when the process has exited; it still has to be reaped."""
    exited = asyncio.Event()
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        # No pidfd on this system: `connection_lost` alone reports the end of the process.
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
        # Unbuffered (-u), so that what an environment prints appears at once.
        [sys.executable, "-u", "-c", _START, str(os.getpid()), str(descriptor)],
        stdin=subprocess.DEVNULL,
        # The worker's stdout goes to our stderr, because programs read our stdout.
        stdout=2,
        pass_fds=(descriptor,),
        # A process group of its own: Ctrl-C then reaches only the server, which lets running
        # calls finish.
        process_group=0,
    )


def _cause(code: int) -> str:
    """Return how a process ended, from its exit status."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
