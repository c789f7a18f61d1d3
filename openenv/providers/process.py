"""ProcessProvider: runs an environment's server as a process on this machine, in this Python.

Owns the command and the errors when it fails; child.py owns the process. Knows nothing of clients.
uv.py is the provider that gives the server an installation of its own.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import threading
from abc import abstractmethod
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from openenv.errors import (
    ConfigurationError,
    LocalProtocolError,
    ProviderError,
    StartupFailed,
    StartupTimeout,
)
from openenv.providers.base import (
    READY_TIMEOUT_S,
    Endpoint,
    Provider,
    check_timeout,
    checked_env_vars,
    in_thread,
)
from openenv.providers.child import Child, last_lines
from openenv.providers.health import health_status

if TYPE_CHECKING:
    from collections.abc import Mapping

# Option of the provider -> option of `openenv serve`.
_OPTIONS = {
    "host": "--host",
    "max_sessions": "--max-sessions",
    "execution": "--execution",
    "workers": "--workers",
    "log_level": "--log-level",
}


class RuntimeProvider(Provider):
    """A provider of processes with blocking calls, which `open` and `aclose` use.

    `with` starts the server and stops it. The server also ends with this process, even after
    SIGKILL, and when the provider is collected. Its output goes to `log_path`, a file that is
    removed when the server is stopped, unless it was given as `log`.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | None = None,
        *,
        env_vars: Mapping[str, str] | None = None,
        log: str | os.PathLike[str] | None = None,
        context_timeout_s: float = READY_TIMEOUT_S,
        **options: Any,
    ) -> None:
        """Keep what to start, and options of `openenv serve`: host, max_sessions, workers, ..."""
        self._target = None if target is None else os.fspath(target)
        self._env_vars = checked_env_vars(env_vars)
        self._given_log = None if log is None else Path(log)
        self._context_timeout_s = context_timeout_s
        self._options = _known(options)
        self._child: Child | None = None
        self._is_cancelled = threading.Event()
        self.base_url: str | None = None
        "The server's URL. None while there is no server."
        self.log_path: Path | None = None
        "The file with what the server has printed and logged."

    # ---- blocking

    def start(
        self,
        port: int | None = None,
        env_vars: Mapping[str, str] | None = None,
        *,
        target: str | os.PathLike[str] | None = None,
        timeout_s: float = READY_TIMEOUT_S,
        **options: Any,
    ) -> str:
        """Start a server and return its URL once it answers; without a port it takes a free one.

        Raises StartupFailed, with the end of the log, if the server ends before that, and
        StartupTimeout.
        """
        if self._child is not None:
            raise LocalProtocolError(
                f"this provider runs {self.base_url} already: stop it first, or take another one"
            )
        check_timeout(timeout_s)
        what = self._target if target is None else os.fspath(target)
        if what is None:
            raise ConfigurationError(
                "what shall be started? Give an environment's folder, or module:app"
            )
        chosen = {**self._options, **_known(options)}
        environ = os.environ | self._env_vars | checked_env_vars(env_vars)
        with ExitStack() as undo:
            self.log_path = log = self._given_log or _new_log(what)
            undo.callback(self._drop_log, only_if_empty=True)
            undo.callback(self._stop)
            self._run(what, port or 0, chosen, environ, log)
            self.base_url = self._announced(what, log, timeout_s)
            undo.pop_all()
        return self.base_url

    def wait_for_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Check once that the server answers; `start` has waited already. Raises ProviderError."""
        if self.base_url is None or health_status(self.base_url, timeout_s) != 200:
            raise ProviderError(f"no server answers at {self.base_url}: start it")

    def stop(self) -> None:
        """End the server, if it still runs, and every process that it has started."""
        had_child = self._child is not None
        self._stop()
        if had_child:
            self._drop_log()

    def __enter__(self) -> Self:
        """Start the server."""
        self.start(timeout_s=self._context_timeout_s)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self.stop()

    # ---- async

    async def open(
        self, *what: Any, timeout_s: float = READY_TIMEOUT_S, **options: Any
    ) -> Endpoint:
        """Start a server for a target; by default for the one given to the constructor."""
        if what:
            options["target"] = what[0]
        start = partial(self.start, timeout_s=timeout_s, **options)
        try:
            return Endpoint(await in_thread(start, on_cancel=self._cancel))
        except BaseException:
            # The server may have become ready just before the cancellation.
            await self.aclose()
            raise
        finally:
            self._is_cancelled.clear()

    async def aclose(self) -> None:
        """Stop the server."""
        await in_thread(self.stop)

    # ---- for subclasses

    @abstractmethod
    def _run(
        self,
        target: str,
        port: int,
        options: Mapping[str, Any],
        environ: Mapping[str, str],
        log: Path,
    ) -> None:
        """Set `_child` to a process that announces its URL."""

    # ---- internal

    def _cancel(self) -> None:
        self._is_cancelled.set()
        if self._child is not None:
            self._child.hang_up()

    def _begin(self, child: Child) -> Child:
        """Keep a child, so that `stop` and a cancellation reach it."""
        self._child = child
        if self._is_cancelled.is_set():
            child.hang_up()
        return child

    def _stop(self) -> None:
        child, self._child, self.base_url = self._child, None, None
        if child is not None:
            child.stop()

    def _drop_log(self, *, only_if_empty: bool = False) -> None:
        log = self.log_path
        if log is None or log == self._given_log or not log.exists():
            return
        if not only_if_empty or log.stat().st_size == 0:
            log.unlink()

    def _announced(self, target: str, log: Path, timeout_s: float) -> str:
        """Return the URL that the child announces."""
        assert self._child is not None
        try:
            url = self._child.line(timeout_s)
        except TimeoutError:
            lines = last_lines(log)
            raise StartupTimeout(
                f"the server of {target} was not ready within {timeout_s:g} s{_log(log, lines)}",
                last_lines=lines,
            ) from None
        if url is None:
            code, lines = self._child.exit_code, last_lines(log)
            raise StartupFailed(
                f"the server of {target} ended before it was ready: {_ending(code)}"
                f"{_log(log, lines)}",
                exit_code=code,
                last_lines=lines,
            )
        return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


class ProcessProvider(RuntimeProvider):
    """Serves an environment's folder, or `module:app`, by `openenv serve` in this Python.

    What the environment needs must be installed here; UVProvider installs it elsewhere.
    """

    def _run(
        self,
        target: str,
        port: int,
        options: Mapping[str, Any],
        environ: Mapping[str, str],
        log: Path,
    ) -> None:
        folder_of(target)
        python = (sys.executable, "-m", "openenv.cli")
        self._begin(Child(partial(serve_command, python, target, port, options), environ, log))


def serve_command(
    openenv: tuple[str, ...], target: str, port: int, options: Mapping[str, Any], ready_fd: int
) -> list[str]:
    """Return the command that serves a target and writes its URL to `ready_fd`."""
    flags = [text for name, value in options.items() for text in (_OPTIONS[name], str(value))]
    return [*openenv, "serve", target, "--port", str(port), "--ready-fd", str(ready_fd), *flags]


def folder_of(target: str) -> Path | None:
    """Return a target's folder; None if it is `module:app`. Raises ConfigurationError."""
    if os.path.isdir(target):
        return Path(target)
    if re.match(r"[\w.]+:(?!//)", target):
        return None
    raise ConfigurationError(
        f"{target!r} is no folder here ({os.getcwd()}), and not of the form module:app or gym:ID"
    )


def _known(options: Mapping[str, Any]) -> dict[str, Any]:
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        raise ConfigurationError(
            f"a server in a process has no option {', '.join(unknown)}; it has: "
            f"port, env_vars, {', '.join(_OPTIONS)}"
        )
    return {name: value for name, value in options.items() if value is not None}


def _new_log(target: str) -> Path:
    slug = re.sub(r"\W+", "-", target.rstrip("/").rpartition("/")[2]).strip("-")
    handle, path = tempfile.mkstemp(prefix=f"openenv-{slug}-", suffix=".log")
    os.close(handle)
    return Path(path)


def _ending(code: int | None) -> str:
    if code is not None and code > 128:
        with suppress(ValueError):
            name = signal.Signals(code - 128).name
            return f"{name}, for want of memory perhaps" if name == "SIGKILL" else name
    return f"exit code {code}"


def _log(path: Path, lines: str) -> str:
    return f"\nthe end of its log ({path}):\n{lines}" if lines else "\nits log is empty"
