"""Browser: a Chromium of one's own, and Playwright's driver of it, started when they are needed.

Belongs to one thread, as Playwright's blocking form does. Knows nothing of tasks.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openenv.errors import ConfigurationError

from .library import BROWSERGYM_ID_ATTRIBUTE, Error, sync_playwright
from .library import Browser as Chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .library import BrowserContext, CDPSession, Playwright

# The first is made for this: an episode begins in a third of the time, for it draws no window.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
# Scrollbars are to be seen in screenshots, as with BrowserGym.
_FLAGS = ["--disable-features=OverlayScrollbars,ExtendedOverlayScrollbars"]
_HIDES_SCROLLBARS = ["--hide-scrollbars"]
# Chromium with windows makes a Unix socket in its temporary folder, whose path may have 107 bytes:
# /openenv-browser-XXXXXXXX/org.chromium.Chromium.XXXXXX/SingletonSocket are 70 of them.
_LONGEST_TMPDIR = 107 - 70
_STARTING = threading.Lock()
_GRACE_S = 5.0
"How long a call may take to notice that Chromium was killed."


class BrowserFailed(Exception):
    """A tab or the browser has crashed or hung: the episode is over, the next one may begin."""


class Browser:
    """Not running until a context is opened; `close` ends all of its processes."""

    def __init__(self, executable: str | None, flags: list[str], *, is_sandboxed: bool) -> None:
        self._executable = executable
        self._flags = [*_FLAGS, *flags]
        self._is_sandboxed = is_sandboxed
        self._playwright: Playwright | None = None
        self._chromium: Chromium | None = None
        self._session: CDPSession | None = None
        self._folder: str | None = None
        self._pid = 0

    def open_context(self, **options: Any) -> BrowserContext:
        """Return a new context, with no cookies and no pages: all of an episode's.

        Raises ConfigurationError (there is no Chromium) or BrowserFailed.
        """
        try:
            if self._chromium is None or not self._chromium.is_connected():
                self.close()
                self._start()
            assert self._chromium is not None
            return self._chromium.new_context(accept_downloads=False, **options)
        except Error as error:
            raise BrowserFailed(f"Chromium could not be started: {first_line(error)}") from error

    def count_tabs(self) -> int:
        """Return how many tabs there are, also those that Playwright has not told of yet."""
        assert self._session is not None
        targets = self._session.send("Target.getTargets")["targetInfos"]
        return sum(target["type"] == "page" for target in targets)

    @contextmanager
    def deadline(self, after_s: float) -> Iterator[threading.Event]:
        """Kill Chromium if what is done meanwhile takes longer; the event is set then.

        A script without end in a page holds up Playwright for ever, and nothing else can interrupt
        it.
        """
        has_passed, is_over = threading.Event(), threading.Event()
        thread = threading.get_ident()

        def watch() -> None:
            if is_over.wait(after_s):
                return
            has_passed.set()
            self.kill()
            # Where the driver itself has died, Playwright waits in a loop without end.
            if not is_over.wait(_GRACE_S):
                kind = ctypes.py_object(BrowserFailed)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), kind)

        watcher = threading.Thread(target=watch, name="openenv-browser-deadline", daemon=True)
        watcher.start()
        try:
            yield has_passed
        finally:
            is_over.set()
            watcher.join()

    def kill(self) -> None:
        """End Chromium, from any thread."""
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """End everything, in whatever state it is; `open_context` would start it again."""
        playwright = self._playwright
        self._playwright, self._chromium, self._session, self._pid = None, None, None, 0
        if playwright is not None:
            # The driver ends Chromium; one that has died makes no answer.
            with suppress(Error, asyncio.InvalidStateError):
                playwright.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _start(self) -> None:
        # What Playwright and Chromium put there, neither removes when it is killed.
        self._folder = tempfile.mkdtemp(prefix="openenv-browser-", dir=_temporary_parent())
        with _temporary_folder(self._folder):
            self._playwright = playwright = sync_playwright().start()
        # By this, BrowserGym's actions find elements.
        playwright.selectors.set_test_id_attribute(BROWSERGYM_ID_ATTRIBUTE)
        self._chromium = playwright.chromium.launch(
            executable_path=self._find(playwright),
            args=self._flags,
            ignore_default_args=_HIDES_SCROLLBARS,
            chromium_sandbox=self._is_sandboxed,
        )
        self._session = self._chromium.new_browser_cdp_session()
        processes = self._session.send("SystemInfo.getProcessInfo")
        self._pid = next(one["id"] for one in processes["processInfo"] if one["type"] == "browser")

    def _find(self, playwright: Playwright) -> str:
        if self._executable:
            # The path, because Playwright does not look for a bare name on PATH.
            if (path := shutil.which(self._executable)) is None:
                raise ConfigurationError(f"there is no Chromium at {self._executable}")
            return path
        found = next(filter(None, map(shutil.which, _NAMES)), None)
        # What `playwright install` has downloaded.
        own = playwright.chromium.executable_path
        if found is None and not Path(own).exists():
            raise ConfigurationError(
                "there is no Chromium: apt-get install chromium-headless-shell, or chromium, "
                "or playwright install chromium, or say with BROWSERGYM_CHROMIUM where it is"
            )
        return found or own


def _temporary_parent() -> str:
    """Return the temporary folder; where its path is too long for Chromium's socket, /tmp."""
    parent = tempfile.gettempdir()
    return parent if len(os.fsencode(parent)) <= _LONGEST_TMPDIR else "/tmp"


@contextmanager
def _temporary_folder(path: str) -> Iterator[None]:
    """Have processes that are started meanwhile put their files there."""
    with _STARTING:
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = path
        try:
            yield
        finally:
            del os.environ["TMPDIR"]
            if before is not None:
                os.environ["TMPDIR"] = before


def first_line(error: Exception) -> str:
    """Return what an error says, without Playwright's log of how it came to it."""
    text = str(error).strip().partition("\n")[0]
    if "ERR_PROXY_CONNECTION_FAILED" in text:
        text += " (the server's allowed_hosts do not allow this host)"
    return text
