"""serve: an app on a socket, under uvicorn, until a signal says stop; then running steps finish.

Owns the socket, uvicorn's settings and what happens on SIGTERM. What an app is and how it ends its
sessions is the registry's affair; names of apps are resolved by target.py.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import socket
import stat
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from openenv.address import DEFAULT_PORT, LOOPBACK, MAX_PORT
from openenv.errors import ConfigurationError
from openenv.server.config import ServerConfig
from openenv.server.links.uvicorn_check import websocket_class
from openenv.server.target import load_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from starlette.types import ASGIApp

    from openenv.server.sessions.registry import SessionRegistry

logger = logging.getLogger("openenv.server")

PONG_TIMEOUT_S = 600.0
"""How long a client may leave a ping unanswered.

A policy that thinks on the client's event loop answers none meanwhile, so this is minutes, not
seconds; it only has to be short enough that a client which vanished without a word does not hold
its sessions for ever. One that was merely slow resumes its link.
"""

BACKLOG = 2048
FORCED_CLOSE_S = 5
"How long sockets may take to close once their sessions have ended."

GC_THRESHOLDS = (100_000, 50, 1000)
"Few collections: nearly all that a step allocates is freed by reference counting."


def serve(
    app: ASGIApp | str,
    host: str = LOOPBACK,
    port: int = DEFAULT_PORT,
    *,
    uds: str | None = None,
    log_level: str = "info",
    tune_gc: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve an app, or what `module:app` or an environment's folder names, until told to stop.

    `port` 0 takes a free one; `uds` listens on a Unix domain socket instead; `ready` is called with
    the URL once requests are answered. The first SIGTERM or SIGINT drains: no new sessions, running
    steps finish, clients are told; then this returns. The second kills the process. `tune_gc`
    collects garbage rarely, for the whole process. Raises ConfigurationError.
    """
    configure_logging(log_level)
    app = load_app(app) if isinstance(app, str) else app
    with listening(host, port, uds) as listener:
        DrainingServer(app, url_of(listener, host), tune_gc=tune_gc, ready=ready).run([listener])


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which lets the sessions end well before it closes their sockets."""

    def __init__(
        self,
        app: ASGIApp,
        url: str,
        *,
        tune_gc: bool = False,
        ready: Callable[[str], None] | None = None,
    ) -> None:
        self.url = url
        self._app = app
        self._tune_gc = tune_gc
        self._ready = ready
        registry = registry_of(app)
        config = registry.config if registry is not None else ServerConfig.from_env()
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on" if registry is not None else "auto",
                ws=websocket_class(),
                # Deflating small frames costs more than everything else that is done with them.
                ws_per_message_deflate=False,
                ws_max_size=config.max_message_bytes,
                ws_ping_interval=config.keepalive_s,
                ws_ping_timeout=PONG_TIMEOUT_S,
                timeout_graceful_shutdown=FORCED_CLOSE_S,
                backlog=BACKLOG,
                access_log=False,
                log_config=None,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets=sockets)
        if not self.started:
            return
        if self._tune_gc:
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
        logger.info("serving on %s", self.url)
        if self._ready is not None:
            self._ready(self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then close the sockets and end the lifespan."""
        # The listener stays open meanwhile: who comes now is told why it gets no session, and
        # /health says so too.
        # An app into which routes were mounted has its registry only since its lifespan began.
        registry = registry_of(self._app)
        if registry is not None:
            logger.info("draining: %d sessions", len(registry.sessions))
            await registry.drain()
        await super().shutdown(sockets=sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after draining; on a second signal, die of it."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Obey signals meanwhile. Unlike uvicorn's, this does not raise them again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def registry_of(app: object) -> SessionRegistry | None:
    """Return the registry whose sessions an app serves; None if it is no app of ours."""
    return getattr(getattr(app, "state", None), "registry", None)


def configure_logging(level: str) -> None:
    """Log to stderr from `level` on; of uvicorn only what is wrong, unless everything is wanted."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigurationError(f"log_level is {level!r}: set it to debug, info, warning or error")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("openenv").setLevel(number)
    logging.getLogger("uvicorn").setLevel(number if number <= logging.DEBUG else logging.WARNING)


# ---- sockets


@contextmanager
def listening(host: str, port: int, uds: str | None = None) -> Iterator[socket.socket]:
    """Bind a listening socket. Raises ConfigurationError for an address that cannot be used."""
    # Bound here and not by uvicorn, which would log a failure and exit.
    listener = _unix_listener(uds) if uds is not None else _tcp_listener(host, port)
    with listener:
        yield listener
    if uds is not None:
        _remove_socket(uds)


def url_of(listener: socket.socket, host: str = LOOPBACK) -> str:
    """Return the URL of a listening socket; `host` is what it was bound to."""
    address = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{address}"
    return f"http://[{host}]:{address[1]}" if ":" in host else f"http://{host}:{address[1]}"


def _tcp_listener(host: str, port: int) -> socket.socket:
    if not 0 <= port <= MAX_PORT:
        raise ConfigurationError(f"port is {port}, but must be from 0 to {MAX_PORT}")
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        # Connections inherit it. Without, an HTTP reply of two writes waits 40 ms for an
        # acknowledgement on asyncio's own event loop.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            why = "the port is in use: stop what uses it, or choose another (0 takes a free one)"
        raise ConfigurationError(f"cannot listen on {host}:{port}: {why}") from error


def _unix_listener(path: str) -> socket.socket:
    _remove_socket(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        _open_as_its_folder(path)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener


def _open_as_its_folder(path: str) -> None:
    """Let those connect who may write to the socket's folder, unless it is one like /tmp.

    A server in a container is another user than its client outside.
    """
    mode = os.stat(os.path.dirname(path) or ".").st_mode
    if not mode & stat.S_ISVTX:
        os.chmod(path, 0o600 | mode & 0o066)


def _remove_socket(path: str) -> None:
    """Remove the socket of a server that is gone. Raises ConfigurationError if it is not."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ConfigurationError(f"cannot listen on {path}: it is a file, not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise ConfigurationError(f"cannot listen on {path}: another server uses it")
